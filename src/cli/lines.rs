//! Files of JSON lines, read one by one under a bar.
//!
//! Must not know what a line holds.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, anyhow, bail};

use super::progress::Bar;
use super::route::STDIN;

/// Longest line that is read.
const LINE_BYTES_MAX: u64 = 32 << 20;

/// Hands each line that is not blank to `take`, whose complaint is told with file and line.
pub(super) fn each(
    path: &Path,
    what: &'static str,
    mut take: impl FnMut(&str) -> Result<(), String>,
) -> anyhow::Result<()> {
    let shown = path.display();
    let (mut lines, bytes): (Box<dyn BufRead>, u64) = if path == Path::new(STDIN) {
        (Box::new(std::io::stdin().lock()), 0)
    } else {
        let file = File::open(path).with_context(|| format!("{shown} cannot be read"))?;
        let bytes = file.metadata().map_or(0, |metadata| metadata.len());
        (Box::new(BufReader::new(file)), bytes)
    };
    let mut bar = Bar::new(what);
    let (mut line, mut read, mut number) = (Vec::new(), 0_u64, 0_u64);
    loop {
        line.clear();
        let taken = lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        let taken = u64::try_from(taken.with_context(|| format!("{shown} cannot be read"))?).unwrap_or(u64::MAX);
        if taken == 0 {
            return Ok(());
        }
        (read, number) = (read + taken, number + 1);
        if taken == LINE_BYTES_MAX {
            bail!("{shown}:{number}: the line is longer than {LINE_BYTES_MAX} bytes");
        }
        let text = std::str::from_utf8(&line).with_context(|| format!("{shown}:{number}"))?;
        if !text.trim().is_empty() {
            take(text).map_err(|why| anyhow!("{shown}:{number}: {why}"))?;
        }
        bar.tell(read, bytes);
    }
}
