//! What is wrong with a configuration: every fault at once, each with its place, key, value and bound.

use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file it stands in, as it was named.
    pub file: PathBuf,
    /// The line, counted from one; none where the file itself is the fault.
    pub line: Option<usize>,
    /// The key from the top, as `feed.demo.ladder[1].bit_rate`; empty for faults of a whole file.
    pub key: String,
    /// The value as written, cut short; none where it is missing or may be secret.
    pub value: Option<String>,
    /// Which rule is broken, with what is allowed.
    pub rule: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if !self.key.is_empty() {
            f.write_str(&self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.rule)
    }
}

/// How many `faults` there are, by the word for one of them, and each on a line of its own.
pub(crate) fn listed(word: &str, faults: &[Fault]) -> impl fmt::Display {
    fmt::from_fn(move |f| {
        let plural = if faults.len() == 1 { "" } else { "s" };
        write!(f, "{} {word}{plural} in the configuration", faults.len())?;
        faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    })
}

/// All that is wrong with a configuration, in the order of files and lines. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigFaults {
    /// The faults.
    pub faults: Vec<Fault>,
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", listed("fault", &self.faults))
    }
}
