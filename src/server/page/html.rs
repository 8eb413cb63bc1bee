//! Writing HTML: every text is escaped, for file names and queries come from anybody.

use std::fmt::Write;

/// Pieces of HTML.
#[derive(Debug, Default)]
pub(super) struct Html(String);

impl Html {
    /// Markup of our own, as it is.
    pub(super) fn raw(&mut self, markup: &str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// A text, escaped for content and for attributes in double quotes. Marks that reorder text are
    /// written out: they can deceive.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    self.0.extend(c.escape_default());
                }
                c if c.is_control() && c != '\n' => self.0.extend(c.escape_default()),
                c => self.0.push(c),
            }
        }
        self
    }

    /// An element that holds one text; `tag` is a name with attributes of our own.
    pub(super) fn element(&mut self, tag: &str, text: &str) -> &mut Self {
        let name = tag.split(' ').next().unwrap_or(tag);
        self.raw("<").raw(tag).raw(">").text(text);
        self.raw("</").raw(name).raw(">")
    }

    /// A number of our own, in an attribute.
    pub(super) fn number(&mut self, number: f64) -> &mut Self {
        // Writing to a string does not fail.
        let _ = write!(self.0, "{number}");
        self
    }

    /// A part of a path in a URL: every byte that might mean something else is escaped.
    pub(super) fn url(&mut self, path: &str) -> &mut Self {
        for byte in path.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                    self.0.push(byte as char);
                }
                byte => {
                    let _ = write!(self.0, "%{byte:02X}");
                }
            }
        }
        self
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_comes_from_outside_becomes_markup() {
        let mut html = Html::default();
        html.element(
            "p class=\"x\"",
            "<script>alert('a' & \"b\")</script>\u{202e}\u{1b}",
        );
        assert_eq!(
            html.finish(),
            "<p class=\"x\">&lt;script&gt;alert(&#39;a&#39; &amp; &quot;b&quot;)&lt;/script&gt;\
             \\u{202e}\\u{1b}</p>"
        );
        let mut url = Html::default();
        url.url("a b/ü#?.rs\"");
        assert_eq!(url.finish(), "a%20b/%C3%BC%23%3F.rs%22");
    }
}
