//! Where the demo writes: a terminal, with colour and a line that changes, or a pipe, with plain
//! lines.

use std::io::{self, IsTerminal as _, Write};

/// The colours of the servers, by position: ANSI codes that can be read on dark and light.
const COLOURS: [u8; 6] = [36, 33, 35, 32, 34, 31];

/// One output, written line by line.
#[derive(Debug)]
pub struct Screen<W> {
    out: W,
    style: Style,
    /// Whether the last line is the one that changes.
    live: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Terminal,
    Plain,
}

impl Screen<io::Stdout> {
    /// Standard output. It is plain if it is no terminal, or if `NO_COLOR` is set.
    pub fn standard() -> Self {
        let out = io::stdout();
        let coloured = out.is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self::new(out, if coloured { Style::Terminal } else { Style::Plain })
    }
}

impl<W: Write> Screen<W> {
    pub fn new(out: W, style: Style) -> Self {
        Self { out, style, live: false }
    }

    /// Writes a line that stays.
    pub fn line(&mut self, text: &str) -> io::Result<()> {
        self.clear()?;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Replaces the line that changes. A pipe has none.
    pub fn live(&mut self, text: &str) -> io::Result<()> {
        match self.style {
            Style::Plain => Ok(()),
            Style::Terminal => {
                self.clear()?;
                write!(self.out, "{text}")?;
                self.live = true;
                self.out.flush()
            }
        }
    }

    /// `text` in bold.
    pub fn strong(&self, text: &str) -> String {
        self.paint("1", text)
    }

    /// `text` less visible.
    pub fn faint(&self, text: &str) -> String {
        self.paint("2", text)
    }

    /// `text` in the colour of the server at `position`.
    pub fn server(&self, position: usize, text: &str) -> String {
        let colour = COLOURS.get(position % COLOURS.len()).unwrap_or(&COLOURS[0]);
        self.paint(&colour.to_string(), text)
    }

    /// `text` as something that went wrong.
    pub fn wrong(&self, text: &str) -> String {
        self.paint("1;31", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        match self.style {
            Style::Terminal => format!("\x1b[{code}m{text}\x1b[0m"),
            Style::Plain => text.to_owned(),
        }
    }

    /// Removes the line that changes, so that the next one takes its place.
    fn clear(&mut self) -> io::Result<()> {
        if self.live {
            write!(self.out, "\r\x1b[2K")?;
            self.live = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(style: Style) -> String {
        let mut screen = Screen::new(Vec::new(), style);
        screen.live("1 of 2").unwrap();
        let line = screen.server(0, "server-1");
        screen.line(&line).unwrap();
        String::from_utf8(screen.out).unwrap()
    }

    #[test]
    fn a_pipe_gets_whole_lines_and_no_codes() {
        assert_eq!(written(Style::Plain), "server-1\n");
    }

    #[test]
    fn a_terminal_gets_colour_and_a_line_that_is_replaced() {
        let expected = "1 of 2\r\x1b[2K\x1b[36mserver-1\x1b[0m\n";
        assert_eq!(written(Style::Terminal), expected);
    }
}
