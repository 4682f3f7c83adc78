//! Server-sent events out of a byte stream, as the WHATWG describes them. It must not know where the bytes come from or
//! what the events mean.

/// A line longer than this is no event of ours; the memory of a client is not the server's to fill.
const MAX_BYTES: usize = 4 * 1024 * 1024;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) data: String,
    /// The last id seen on the stream, this event's or an earlier one's: what `Last-Event-ID` must say next.
    pub(crate) id: Option<String>,
}

#[derive(Debug, thiserror::Error)]
#[error("the event stream holds an event of more than {MAX_BYTES} bytes")]
pub(crate) struct TooLong;

#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    /// A carriage return ended the last line: a line feed right after it belongs to the same ending.
    after_return: bool,
    started: bool,
    name: String,
    data: String,
    has_data: bool,
    last_id: Option<String>,
}

impl Parser {
    /// Takes the next bytes, however they were cut, and gives the events that are complete now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut events = Vec::new();
        for &byte in bytes {
            let ends_line = match byte {
                b'\n' if std::mem::take(&mut self.after_return) => continue,
                b'\n' => true,
                b'\r' => {
                    self.after_return = true;
                    true
                }
                _ => {
                    self.after_return = false;
                    false
                }
            };
            if ends_line {
                let line = std::mem::take(&mut self.line);
                events.extend(self.take_line(&line));
            } else {
                self.line.push(byte);
                if self.line.len() + self.data.len() > MAX_BYTES {
                    return Err(TooLong);
                }
            }
        }
        Ok(events)
    }

    fn take_line(&mut self, line: &[u8]) -> Option<Event> {
        let line = if std::mem::replace(&mut self.started, true) {
            line
        } else {
            line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
        };
        if line.is_empty() {
            return self.dispatch();
        }
        let text = String::from_utf8_lossy(line);
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.has_data = true;
                self.data.push_str(value);
            }
            "id" if !value.contains('\0') => self.last_id = Some(value.to_owned()),
            // A comment (the empty field), the server's wish for a reconnect delay, or a field of the future.
            _ => {}
        }
        None
    }

    fn dispatch(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        let data = std::mem::take(&mut self.data);
        if !std::mem::take(&mut self.has_data) {
            return None;
        }
        let name = if name.is_empty() {
            "message".to_owned()
        } else {
            name
        };
        Some(Event {
            name,
            data,
            id: self.last_id.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str, id: Option<&str>) -> Event {
        Event {
            name: name.into(),
            data: data.into(),
            id: id.map(Into::into),
        }
    }

    const STREAM: &str = "\u{feff}: hello\n\nevent: state\nid: 1.1\ndata: {\"a\":1}\n\n\
        data: x\ndata:y\ndata:  z\n\nretry: 10\r\nevent: done\r\nid: 1.2\r\ndata\r\n\r\nid: 1.3\n\nevent: lost\ndata: cut";

    fn expected() -> Vec<Event> {
        vec![
            event("state", "{\"a\":1}", Some("1.1")),
            event("message", "x\ny\n z", Some("1.1")),
            event("done", "", Some("1.2")),
        ]
    }

    #[test]
    fn fields_comments_and_line_endings_are_read() {
        assert_eq!(
            Parser::default().push(STREAM.as_bytes()).unwrap(),
            expected()
        );
    }

    #[test]
    fn it_does_not_matter_where_the_bytes_were_cut() {
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for chunk in STREAM.as_bytes().chunks(size) {
                events.extend(parser.push(chunk).unwrap());
            }
            assert_eq!(events, expected(), "cut every {size} bytes");
        }
    }

    #[test]
    fn an_endless_line_is_refused() {
        let mut parser = Parser::default();
        let block = vec![b'a'; MAX_BYTES / 2 + 1];
        parser.push(&block).unwrap();
        assert!(parser.push(&block).is_err());
    }

    #[test]
    fn a_carriage_return_alone_ends_a_line() {
        let events = Parser::default()
            .push(b"data: a\r\rdata: b\r\n\r\n")
            .unwrap();
        assert_eq!(
            events,
            vec![event("message", "a", None), event("message", "b", None)]
        );
    }
}
