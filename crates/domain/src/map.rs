//! The map that the state is made of: persistent, so that a copy costs nothing, and hashed the same way everywhere.
//!
//! Its keys come from people who have signed in, not from strangers, so the hash need not be secret.

use foldhash::fast::FixedState;
use imbl::shared_ptr::DefaultSharedPtr;

pub type HashMap<K, V> = imbl::GenericHashMap<K, V, FixedState, DefaultSharedPtr>;
