//! Tokens: by hash, by id, and by when they end. What has ended is known for a while, so that whoever still uses it is told.

use std::sync::Arc;

use crate::event::Token;
use crate::id::TokenId;
use crate::judge::archive::KEEP;
use crate::state::State;
use crate::time::At;

impl State {
    pub(crate) fn insert_token(&mut self, token: Arc<Token>) {
        self.token_ids.insert(token.id, token.hash.clone());
        self.expiring.insert((token.expires, token.id));
        self.tokens.insert(token.hash.clone(), token);
    }

    pub(super) fn drop_token(&mut self, id: TokenId) {
        if let Some(token) = self.token_ids.remove(&id).and_then(|hash| self.tokens.remove(&hash)) {
            self.expiring.remove(&(token.expires, id));
        }
    }

    /// Tokens that had ended long before `at`, which is an event's: the same events always forget the same.
    pub(super) fn forget_tokens(&mut self, at: At) {
        while let Some((_, id)) = self.expiring.get_min().copied().filter(|(expires, _)| *expires <= at - KEEP) {
            self.drop_token(id);
        }
    }
}
