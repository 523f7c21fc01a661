//! Server-sent events, read as they come: in one pass however large an event is, and up to a size.

/// An event of the largest environment is a few megabytes.
const LARGEST: usize = 256 * 1024 * 1024;

/// One event. Its id is not kept: revisions stand in what is signed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub name: String,
    pub data: String,
}

/// What has arrived of the line and the event that are not complete yet.
#[derive(Debug, Default)]
pub(super) struct Reader {
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    /// Milliseconds after which the server wants to be asked again.
    pub retry: Option<u64>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Reader {
    /// Takes what has come and gives the events that it completes.
    pub(super) fn take(&mut self, mut chunk: &[u8]) -> Result<Vec<Event>, Malformed> {
        let mut events = Vec::new();
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            let (rest_of_line, rest) = chunk.split_at(end);
            chunk = rest.get(1..).unwrap_or_default();
            self.line.extend_from_slice(rest_of_line);
            let line = std::mem::take(&mut self.line);
            events.extend(self.read(line.strip_suffix(b"\r").unwrap_or(&line))?);
        }
        self.line.extend_from_slice(chunk);
        if self.line.len() + self.data.len() > LARGEST { Err(Malformed) } else { Ok(events) }
    }

    fn read(&mut self, line: &[u8]) -> Result<Option<Event>, Malformed> {
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut self.name), std::mem::take(&mut self.data));
            let text = |bytes| String::from_utf8(bytes).map_err(|_| Malformed);
            return if data.is_empty() { Ok(None) } else { Ok(Some(Event { name: text(name)?, data: text(data)? })) };
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => line.split_at(colon),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => self.name = value.to_vec(),
            b"data" => {
                if !self.data.is_empty() {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            b"retry" => self.retry = str::from_utf8(value).ok().and_then(|value| value.parse().ok()).or(self.retry),
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = ": hello\n\nretry: 1200\n\nid: 7\nevent: snapshot\ndata: {\"a\":1}\n\nevent:delta\r\ndata:one\r\ndata:two\r\n\r\nevent: none\n\ndata: la";

    #[test]
    fn events_are_the_same_however_they_are_cut() {
        let event = |name: &str, data: &str| Event { name: name.to_owned(), data: data.to_owned() };
        for size in 1..SENT.len() {
            let mut reader = Reader::default();
            let events: Vec<Event> = SENT.as_bytes().chunks(size).flat_map(|chunk| reader.take(chunk).unwrap()).collect();
            assert_eq!(events, [event("snapshot", "{\"a\":1}"), event("delta", "one\ntwo")]);
            assert_eq!(reader.retry, Some(1200));
            assert_eq!(reader.take(b"st\n\n").unwrap(), [event("", "last")]);
        }
    }

    #[test]
    fn what_is_no_text_is_no_event() {
        assert_eq!(Reader::default().take(b"data: \xff\n\n"), Err(Malformed));
    }
}
