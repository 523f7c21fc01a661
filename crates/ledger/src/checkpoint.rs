//! Checkpoint files: a folded state, so that start-up need not fold from the first event.
//!
//! A file is a header of 96 bytes (magic `GRCHKPT1`, the payload's format id, seq, chain hash,
//! length and SHA-256 of the payload, numbers big-endian, four zero bytes) and the payload. It is
//! disposable: a torn or foreign one is skipped, and without any the whole ledger is folded.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::envelope::Hash;
use crate::error::Error;
use crate::file;

const MAGIC: &[u8; 8] = b"GRCHKPT1";
const HEADER: usize = 96;
const KEPT: usize = 2;

#[derive(Clone, Debug)]
pub struct Checkpoints {
    dir: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last event folded into the payload.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
    pub payload: Vec<u8>,
}

/// The newest usable checkpoint, and why newer ones were passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub checkpoint: Option<Checkpoint>,
    pub skipped: Vec<Skipped>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub path: PathBuf,
    pub reason: &'static str,
}

struct Header {
    format: u32,
    seq: u64,
    hash: Hash,
    length: u64,
    digest: Hash,
}

impl Checkpoints {
    pub(crate) fn new(dir: PathBuf) -> Checkpoints {
        Checkpoints { dir }
    }

    /// Writes `checkpoints/<seq>` and removes all but the two newest. `format` is the caller's
    /// number for the payload's form.
    ///
    /// # Errors
    /// When the file cannot be written; older ones are then all still there.
    pub fn save(&self, format: u32, seq: u64, hash: Hash, payload: &[u8]) -> Result<PathBuf, Error> {
        let path = self.dir.join(seq.to_string());
        let header = Header { format, seq, hash, length: payload.len() as u64, digest: Hash::of(payload) };
        file::replace(&path, &[&header.encode(), payload])?;
        for (_, old) in self.newest_first()?.into_iter().skip(KEPT) {
            fs::remove_file(&old).map_err(|e| Error::io("cannot remove", &old, e))?;
        }
        Ok(path)
    }

    /// The newest checkpoint of this format whose file is whole and whose hash `in_chain(seq, hash)`
    /// confirms; see [`crate::Reader::has`].
    ///
    /// # Errors
    /// When the directory cannot be listed, or `in_chain` fails. A bad file is no error.
    pub fn latest_usable(&self, format: u32, mut in_chain: impl FnMut(u64, Hash) -> Result<bool, Error>) -> Result<Found, Error> {
        let mut found = Found::default();
        for (seq, path) in self.newest_first()? {
            let outcome = match read(&path, seq, format) {
                Ok(checkpoint) if in_chain(seq, checkpoint.hash)? => Ok(checkpoint),
                Ok(_) => Err("its hash is not in the chain"),
                Err(reason) => Err(reason),
            };
            match outcome {
                Ok(checkpoint) => {
                    found.checkpoint = Some(checkpoint);
                    break;
                }
                Err(reason) => found.skipped.push(Skipped { path, reason }),
            }
        }
        Ok(found)
    }

    /// The seq that the newest file names, whole or not.
    #[must_use]
    pub fn newest(&self) -> Option<u64> {
        self.newest_first().ok()?.first().map(|(seq, _)| *seq)
    }

    /// The highest seq and hash any whole file names: the chain has been at least that long.
    pub(crate) fn witness(&self) -> Result<Option<(u64, Hash, PathBuf)>, Error> {
        for (seq, path) in self.newest_first()? {
            let header = File::open(&path).ok().and_then(|mut f| Header::read(&mut f));
            if let Some(header) = header.filter(|header| header.seq == seq) {
                return Ok(Some((seq, header.hash, path)));
            }
        }
        Ok(None)
    }

    fn newest_first(&self) -> Result<Vec<(u64, PathBuf)>, Error> {
        let mut files: Vec<(u64, PathBuf)> = file::finished_files(&self.dir)?.into_iter().filter_map(|path| Some((path.file_name()?.to_str()?.parse().ok()?, path))).collect();
        files.sort_by_key(|(seq, _)| std::cmp::Reverse(*seq));
        Ok(files)
    }
}

fn read(path: &Path, seq: u64, format: u32) -> Result<Checkpoint, &'static str> {
    let mut file = File::open(path).map_err(|_| "it cannot be opened")?;
    let header = Header::read(&mut file).ok_or("its header is not a checkpoint's")?;
    if header.format != format {
        return Err("its payload has another format");
    }
    if header.seq != seq {
        return Err("its name is not its seq");
    }
    let length = file.metadata().map_err(|_| "it cannot be read")?.len();
    if length != header.length.saturating_add(HEADER as u64) {
        return Err("its length is not the one it names");
    }
    let mut payload = Vec::new();
    file.read_to_end(&mut payload).map_err(|_| "it cannot be read")?;
    if Hash::of(&payload) != header.digest {
        return Err("its payload is damaged");
    }
    Ok(Checkpoint { seq, hash: header.hash, payload })
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.format.to_be_bytes());
        bytes.extend_from_slice(&self.seq.to_be_bytes());
        bytes.extend_from_slice(&self.hash.0);
        bytes.extend_from_slice(&self.length.to_be_bytes());
        bytes.extend_from_slice(&self.digest.0);
        bytes.resize(HEADER, 0);
        bytes
    }

    fn read(from: &mut impl Read) -> Option<Header> {
        let mut bytes = [0; HEADER];
        from.read_exact(&mut bytes).ok()?;
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (format, rest) = rest.split_first_chunk::<4>()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        let (hash, rest) = rest.split_first_chunk::<32>()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (digest, rest) = rest.split_first_chunk::<32>()?;
        let sound = magic == MAGIC && rest.iter().all(|byte| *byte == 0);
        sound.then_some(Header {
            format: u32::from_be_bytes(*format),
            seq: u64::from_be_bytes(*seq),
            hash: Hash(*hash),
            length: u64::from_be_bytes(*length),
            digest: Hash(*digest),
        })
    }
}
