//! How a body is stored. Half of the JSON of an event is hexadecimal: digests, ids, commits. Such a run of digits is
//! stored as the bytes that it stands for; everything else as it is. The chain covers the body, not how it is stored.

/// Before a run: then comes how many bytes it has, as two decimal digits, which SQL can read, then those.
const RUN: u8 = 1;
const LONGEST: usize = 99;
/// At the very front: what follows is the body as it is, because it holds one of these two bytes itself. JSON never does.
const VERBATIM: u8 = 0;
/// Of a shorter run too little would be gained.
const DIGITS: usize = 16;

/// Appends a body to `to` as it is stored.
pub(super) fn pack(body: &[u8], to: &mut Vec<u8>) {
    if body.iter().any(|byte| *byte <= RUN) {
        to.push(VERBATIM);
        return to.extend_from_slice(body);
    }
    let mut rest = body;
    while let Some(byte) = rest.first() {
        let digits = rest.iter().take_while(|byte| value(**byte).is_some()).count();
        let (run, after) = rest.split_at(digits.max(1));
        if digits >= DIGITS {
            pack_run(run, to);
        } else {
            to.extend_from_slice(if digits == 0 { std::slice::from_ref(byte) } else { run });
        }
        rest = after;
    }
}

fn pack_run(digits: &[u8], to: &mut Vec<u8>) {
    let (pairs, odd) = digits.as_chunks::<2>();
    for pairs in pairs.chunks(LONGEST) {
        let count = pairs.len() as u8;
        to.extend_from_slice(&[RUN, b'0' + count / 10, b'0' + count % 10]);
        to.extend(pairs.iter().map(|[high, low]| value(*high).unwrap_or(0) << 4 | value(*low).unwrap_or(0)));
    }
    to.extend_from_slice(odd);
}

/// The body that was stored, in `room` where it has to be put together; `None` if no body was ever stored so.
#[inline]
pub(super) fn unpack<'a>(stored: &'a [u8], room: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    if let Some((&VERBATIM, body)) = stored.split_first() {
        return Some(body);
    }
    room.clear();
    let mut rest = stored;
    while let Some(at) = rest.iter().position(|byte| *byte == RUN) {
        let (plain, run) = rest.split_at(at);
        let ([_, tens, ones], after) = run.split_first_chunk()?;
        let count = tens.checked_sub(b'0')?.checked_mul(10)?.checked_add(ones.checked_sub(b'0')?)?;
        let (bytes, after) = after.split_at_checked(usize::from(count))?;
        room.extend_from_slice(plain);
        room.extend(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
        rest = after;
    }
    if rest.len() == stored.len() {
        return Some(stored);
    }
    room.extend_from_slice(rest);
    Some(room)
}

const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

const fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' - 10 + value }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(body: &[u8]) -> Vec<u8> {
        let mut to = Vec::new();
        pack(body, &mut to);
        to
    }

    #[test]
    fn digits_are_stored_as_bytes() {
        let digest = "0f".repeat(32);
        let body = format!(r#"{{"build":"sha256:{digest}","share":1234567,"of":"cafe"}}"#);
        let stored = packed(body.as_bytes());
        assert_eq!(stored.len(), body.len() - 64 + 35);
        assert_eq!(unpack(&stored, &mut Vec::new()), Some(body.as_bytes()));
    }

    #[test]
    fn what_was_cut_short_is_nothing() {
        let stored = packed("0f".repeat(32).as_bytes());
        for end in 1..stored.len() {
            assert_eq!(unpack(&stored[..end], &mut Vec::new()), None, "{end}");
        }
    }

    proptest! {
        #[test]
        fn every_body_comes_back(parts in prop::collection::vec(prop_oneof!["[0-9a-f]{1,600}", "[ -~]{0,20}", "[\0-\u{3}g]{1,3}"], 0..8)) {
            let body = parts.concat();
            let (stored, mut room) = (packed(body.as_bytes()), Vec::new());
            prop_assert_eq!(unpack(&stored, &mut room), Some(body.as_bytes()));
        }

        #[test]
        fn bytes_of_anything_do_no_harm(stored in prop::collection::vec(prop_oneof![0_u8..3, b'0'..=b'9', any::<u8>()], 0..40)) {
            unpack(&stored, &mut Vec::new());
        }
    }
}
