//! `Content-Disposition` with a client's own file name in it: a plain fallback and the true name, percent-encoded (RFC 6266),
//! so that no character of the name can end the value or the header.

/// Whether the browser shows or keeps the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    Inline,
    Attachment,
}

pub(crate) fn header(how: Disposition, name: &str) -> String {
    let kind = match how {
        Disposition::Inline => "inline",
        Disposition::Attachment => "attachment",
    };
    let plain = |character: char| character.is_ascii_alphanumeric() || "-._ ()".contains(character);
    let fallback: String = name
        .chars()
        .map(|character| if plain(character) { character } else { '_' })
        .collect();
    if fallback == name {
        return format!("{kind}; filename=\"{fallback}\"");
    }
    let mut encoded = String::new();
    for byte in name.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' => {
                encoded.push(byte.into())
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("{kind}; filename=\"{fallback}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_escapes_its_quotes() {
        let plain = header(Disposition::Attachment, "take 3.mid");
        assert_eq!(plain, "attachment; filename=\"take 3.mid\"");
        let evil = header(Disposition::Inline, "a\"; filename=x\r\nSet-Cookie: é.mid");
        assert!(evil.starts_with(
            "inline; filename=\"a__ filename_x__Set-Cookie_ _.mid\"; filename*=UTF-8''a%22%3B"
        ));
        assert!(!evil.contains(['\r', '\n']));
        assert_eq!(evil.matches('"').count(), 2);
    }
}
