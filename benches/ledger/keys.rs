//! Keys in memory: bytes of each, and how long a start takes.
//!
//! Must not count what a server needs beside the store.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::{Options, for_seeding, open};

const COUNTS: [u64; 2] = [100_000, 1_000_000];
const KEYS_PER_ACCOUNT: u64 = 10;
const STARTS: usize = 5;

/// Seeds and starts.
pub(crate) fn run(options: &Options) -> Result<()> {
    println!("{:>10} {:>10} {:>14} {:>12}", "keys", "accounts", "bytes a key", "start, ms");
    let counts = options.count.map_or(COUNTS.to_vec(), |count| vec![count]);
    for count in counts {
        let (dir, _kept) = options.folder()?;
        drop(open(&dir)?);
        let empty = measure(&dir)?;
        seed(&dir, count)?;
        let full = measure(&dir)?;
        let bytes = full.1.saturating_sub(empty.1) / count;
        println!("{count:>10} {:>10} {bytes:>14} {:>12.1}", count / KEYS_PER_ACCOUNT, full.0);
    }
    Ok(())
}

/// Accounts with ten keys each: names, limits on every third, a monthly budget on every tenth, a week of sums for those.
fn seed(dir: &Path, count: u64) -> Result<()> {
    let database = for_seeding(dir)?;
    let accounts = count / KEYS_PER_ACCOUNT;
    database.execute_batch(&format!(
        "BEGIN;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {accounts})
         INSERT INTO accounts (name, created_at) SELECT 'account ' || i, 1767225600000 FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {count} - 1)
         INSERT INTO keys (account_id, hash, prefix, name, kind, created_at, requests_per_minute, budget_nano)
            SELECT i / {KEYS_PER_ACCOUNT} + 1, randomblob(32), printf('sk-flux-%08d', i), 'laptop ' || i, 'live',
                1767225600000, CASE i % 3 WHEN 0 THEN 60 END, CASE i % 10 WHEN 0 THEN 5000000000 END FROM n;
         WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 6)
         INSERT INTO usage_daily SELECT account_id, unixepoch() / 86400 - i, keys.id, 'flux-fast', 'model', 'openai', 'done',
                1, 1, 1, 1, 1000, 0, 1000 FROM keys, n WHERE budget_nano IS NOT NULL;
         COMMIT;
         PRAGMA wal_checkpoint(TRUNCATE)"
    ))?;
    Ok(())
}

/// Fastest start in milliseconds, and the resident bytes after it; each in a process of its own.
fn measure(dir: &Path) -> Result<(f64, u64)> {
    let mut best: Option<(f64, u64)> = None;
    for _ in 0..STARTS {
        let output = Command::new(std::env::current_exe()?).arg("start").arg(dir).output()?;
        if !output.status.success() {
            bail!("a start failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        let text = String::from_utf8(output.stdout)?;
        let (ms, bytes) = text.trim().split_once(' ').context("two figures")?;
        let one = (ms.parse()?, bytes.parse()?);
        best = Some(best.map_or(one, |best| if one.0 < best.0 { one } else { best }));
    }
    best.context("nothing was started")
}

/// One start: prints what it took.
pub(crate) fn start_once(dir: &Path) -> Result<()> {
    let begun = Instant::now();
    let store = open(dir)?;
    let taken = begun.elapsed();
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = statm.split(' ').nth(1).context("resident pages")?.parse()?;
    println!("{:.3} {}", taken.as_secs_f64() * 1e3, pages * 4096);
    drop(store);
    Ok(())
}
