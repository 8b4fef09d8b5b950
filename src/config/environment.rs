//! What loading takes from outside, behind a trait: so it is tested without touching the process.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The largest file that is read, in bytes. A configuration has a few KiB; a wrong path may be a
/// device without an end.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// The surroundings of a process.
pub trait Environment {
    /// The environment variables, at least those whose names start with `FANFARE_`.
    fn variables(&self) -> Vec<(OsString, OsString)>;

    /// The text of a file.
    ///
    /// # Errors
    /// As [`std::fs::read_to_string`].
    fn read_file(&self, path: &Path) -> io::Result<String>;

    /// How many threads can run at once, at least 1.
    fn cores(&self) -> usize;
}

/// The real surroundings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process;

impl Environment for Process {
    fn variables(&self) -> Vec<(OsString, OsString)> {
        std::env::vars_os().collect()
    }

    fn read_file(&self, path: &Path) -> io::Result<String> {
        let mut text = String::new();
        File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
        if text.len() as u64 > FILE_BYTES_MAX {
            return Err(io::Error::other("it is larger than 1 MiB"));
        }
        Ok(text)
    }

    fn cores(&self) -> usize {
        std::thread::available_parallelism().map_or(1, usize::from)
    }
}
