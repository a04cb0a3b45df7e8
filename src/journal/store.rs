//! Where a journal lives: a directory with one append-only file, a lock, and nothing else to trust.
//!
//! A record is one line, `<crc32 in hex> <json>`, written by one call and synced before anything
//! else happens. A bad last line is the torn tail of a write that never counted, and is cut off; a
//! bad line anywhere else is damage, and refused. The lock is the kernel's, so it cannot outlive
//! its holder.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::Record;
use super::progress::{Impossible, Progress};

/// Something that records can be appended to.
pub trait Store {
    /// Makes the record durable, or fails without having counted it.
    fn append(&mut self, record: &Record) -> Result<(), JournalError>;
}

/// Why a journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("cannot {verb} {path}: {source}")]
    Io { verb: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{path} is damaged at line {line}: {why}")]
    Damaged { path: PathBuf, line: usize, why: String },
    #[error("{path} was written by a newer version of migrate (format {format})")]
    Newer { path: PathBuf, format: u32 },
    #[error("{path} has a record at line {line} that this version of migrate does not know: {why}")]
    Unknown { path: PathBuf, line: usize, why: String },
    #[error(transparent)]
    Impossible(#[from] Impossible),
    #[error("another process holds the run: {holder}")]
    Locked { holder: String },
}

/// The directory of one run, locked by this process.
#[derive(Debug)]
pub struct RunStore {
    file: File,
    path: PathBuf,
    /// Held for as long as the process lives.
    _lock: File,
    dir: PathBuf,
}

const JOURNAL: &str = "journal.jsonl";
const LOCK: &str = "lock";
const YIELD: &str = "yield";

fn io(verb: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Io { verb, path, source }
}

/// The journal of a run without its lock: enough for `status` and `history`.
pub fn read(dir: &Path) -> Result<Option<Vec<Record>>, JournalError> {
    let path = dir.join(JOURNAL);
    match std::fs::read(&path) {
        Ok(bytes) => parse(&path, &bytes).map(|(records, _)| Some(records)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io("read", &path)(error)),
    }
}

/// The fold of a journal; `None` for one without a single durable record.
pub fn replay(records: &[Record]) -> Result<Option<Progress>, JournalError> {
    let Some((first, rest)) = records.split_first() else { return Ok(None) };
    let mut progress = Progress::begin(first)?;
    for record in rest {
        progress.apply(record)?;
    }
    Ok(Some(progress))
}

impl RunStore {
    /// Locks the run's directory, creating it where needed, and reads its journal.
    pub fn open(dir: &Path) -> Result<(RunStore, Vec<Record>), JournalError> {
        std::fs::create_dir_all(dir).map_err(io("create", dir))?;
        let lock = lock(dir)?;
        let path = dir.join(JOURNAL);
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).open(&path).map_err(io("open", &path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io("read", &path))?;
        let (records, sound) = parse(&path, &bytes)?;
        if sound < bytes.len() {
            file.set_len(sound as u64).map_err(io("cut the torn tail of", &path))?;
            file.seek(SeekFrom::End(0)).map_err(io("seek in", &path))?;
            file.sync_all().map_err(io("sync", &path))?;
        }
        sync_dir(dir)?;
        Ok((RunStore { file, path, _lock: lock, dir: dir.to_owned() }, records))
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Puts an ended run's journal aside, so that a new run of the same name can begin.
    pub fn archive(&mut self) -> Result<(), JournalError> {
        let free = (1..).map(|n| self.dir.join(format!("journal-{n}.jsonl"))).find(|p| !p.exists());
        let Some(aside) = free else { return Ok(()) };
        std::fs::rename(&self.path, &aside).map_err(io("rename", &self.path))?;
        self.file =
            OpenOptions::new().read(true).append(true).create(true).open(&self.path).map_err(io("open", &self.path))?;
        sync_dir(&self.dir)
    }
}

impl Store for RunStore {
    fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        let line = line(record).map_err(|e| io("encode a record for", &self.path)(e.into()))?;
        self.file.write_all(line.as_bytes()).map_err(io("write", &self.path))?;
        self.file.sync_data().map_err(io("sync", &self.path))
    }
}

fn line(record: &Record) -> Result<String, serde_json::Error> {
    let json = serde_json::to_string(record)?;
    Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())))
}

/// The sound records, and how many bytes they take.
fn parse(path: &Path, bytes: &[u8]) -> Result<(Vec<Record>, usize), JournalError> {
    let mut records: Vec<Record> = Vec::new();
    let mut sound = 0;
    for (index, line) in bytes.split_inclusive(|b| *b == b'\n').enumerate() {
        let last = sound + line.len() == bytes.len();
        match parse_line(line) {
            Ok(record) if record.seq == records.len() as u64 + 1 => records.push(record),
            Ok(record) => {
                let why = format!("record {} where {} should stand", record.seq, records.len() + 1);
                return Err(JournalError::Damaged { path: path.to_owned(), line: index + 1, why });
            }
            Err(BadLine::Unknown(why)) => {
                return Err(JournalError::Unknown { path: path.to_owned(), line: index + 1, why });
            }
            Err(_) if last && !hides_a_record(line) => break,
            Err(BadLine::Damaged(why)) => {
                return Err(JournalError::Damaged { path: path.to_owned(), line: index + 1, why });
            }
        }
        sound += line.len();
    }
    if let Some(super::Event::Opened(header)) = records.first().map(|r| &r.event)
        && header.format > super::FORMAT
    {
        return Err(JournalError::Newer { path: path.to_owned(), format: header.format });
    }
    Ok((records, sound))
}

/// Why a line is no record.
enum BadLine {
    Damaged(String),
    /// It is as it was written, and means nothing to us.
    Unknown(String),
}

fn parse_line(line: &[u8]) -> Result<Record, BadLine> {
    let damaged = |why: &str| BadLine::Damaged(why.to_owned());
    let text = std::str::from_utf8(line).map_err(|e| BadLine::Damaged(e.to_string()))?;
    let text = text.strip_suffix('\n').ok_or_else(|| damaged("the line has no end"))?;
    let (crc, json) = text.split_once(' ').ok_or_else(|| damaged("the line has no checksum"))?;
    let crc = u32::from_str_radix(crc, 16).map_err(|e| BadLine::Damaged(e.to_string()))?;
    if crc != crc32fast::hash(json.as_bytes()) {
        return Err(damaged("the checksum does not match"));
    }
    serde_json::from_str(json).map_err(|e| BadLine::Unknown(e.to_string()))
}

/// Whether a bad last line begins with a whole record. A torn write does not go on behind its record,
/// so what is bad there is the end of an earlier line, and cutting it off would forget that record.
fn hides_a_record(line: &[u8]) -> bool {
    let crc = line.get(..8).and_then(|c| std::str::from_utf8(c).ok()).and_then(|c| u32::from_str_radix(c, 16).ok());
    let Some(crc) = crc else { return false };
    (10..line.len()).filter(|end| line[end - 1] == b'}').any(|end| crc32fast::hash(&line[9..end]) == crc)
}

fn lock(dir: &Path) -> Result<File, JournalError> {
    let path = dir.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(io("open", &path))?;
    match file.try_lock() {
        Ok(()) => {
            // Advice for people; the lock itself is the kernel's.
            let holder = format!("process {} since {}\n", std::process::id(), chrono::Utc::now().format("%FT%TZ"));
            file.set_len(0).map_err(io("write", &path))?;
            file.write_all(holder.as_bytes()).map_err(io("write", &path))?;
            let _ = std::fs::remove_file(dir.join(YIELD));
            Ok(file)
        }
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).map_err(io("read", &path))?;
            let holder = if holder.trim().is_empty() { "unknown".to_owned() } else { holder.trim().to_owned() };
            Err(JournalError::Locked { holder })
        }
        Err(std::fs::TryLockError::Error(error)) => Err(io("lock", &path)(error)),
    }
}

/// Asks the process that holds the run to give way at its next safe point.
pub fn ask_to_yield(dir: &Path) -> Result<(), JournalError> {
    let path = yield_file(dir);
    std::fs::write(&path, b"").map_err(io("write", &path))
}

/// The file by whose existence the holder of a run is asked to give way.
pub fn yield_file(dir: &Path) -> PathBuf {
    dir.join(YIELD)
}

fn sync_dir(dir: &Path) -> Result<(), JournalError> {
    let handle = File::open(dir).map_err(io("open", dir))?;
    handle.sync_all().map_err(io("sync", dir))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::{Event, HoldReason};

    fn record(seq: u64) -> Record {
        let at = chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::seconds(i64::try_from(seq).unwrap());
        let reason = format!("\u{fc}ber \"quoted\"\nand broken, {seq}");
        Record { seq, at, event: Event::Held { why: HoldReason::Failing, reason } }
    }

    /// A directory with a journal of `n` records, closed again.
    fn journal(n: u64) -> (tempfile::TempDir, Vec<u8>) {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, records) = RunStore::open(dir.path()).unwrap();
        assert!(records.is_empty());
        for seq in 1..=n {
            store.append(&record(seq)).unwrap();
        }
        let bytes = std::fs::read(dir.path().join(JOURNAL)).unwrap();
        (dir, bytes)
    }

    fn numbers(records: &[Record]) -> Vec<u64> {
        records.iter().map(|r| r.seq).collect()
    }

    #[test]
    fn what_was_appended_is_read_back_with_and_without_the_lock() {
        let (dir, _) = journal(3);
        let expected: Vec<Record> = (1..=3).map(record).collect();
        assert_eq!(read(dir.path()).unwrap().unwrap(), expected);
        let (mut store, records) = RunStore::open(dir.path()).unwrap();
        assert_eq!(records, expected);
        store.append(&record(4)).unwrap();
        assert_eq!(numbers(&read(dir.path()).unwrap().unwrap()), [1, 2, 3, 4]);
        assert!(read(&dir.path().join("nowhere")).unwrap().is_none());
    }

    #[test]
    fn a_torn_tail_is_cut_off_at_every_byte() {
        let (dir, whole) = journal(3);
        let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
        for kept in last..whole.len() {
            std::fs::write(dir.path().join(JOURNAL), &whole[..kept]).unwrap();
            assert_eq!(numbers(&read(dir.path()).unwrap().unwrap()), [1, 2], "{kept}");
            let (mut store, records) = RunStore::open(dir.path()).unwrap();
            assert_eq!(numbers(&records), [1, 2], "{kept}");
            store.append(&record(3)).unwrap();
            drop(store);
            assert_eq!(std::fs::read(dir.path().join(JOURNAL)).unwrap(), whole, "{kept}: the tail left no trace");
        }
    }

    #[test]
    fn a_flipped_bit_before_the_last_record_is_refused() {
        let (dir, whole) = journal(3);
        let last = whole[..whole.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
        for at in 0..last {
            for bit in [0x01, 0x20, 0x80] {
                let mut damaged = whole.clone();
                damaged[at] ^= bit;
                std::fs::write(dir.path().join(JOURNAL), &damaged).unwrap();
                let read = read(dir.path());
                // The case of a hexadecimal digit of the checksum does not matter.
                if matches!(&read, Ok(Some(records)) if *records == (1..=3).map(record).collect::<Vec<_>>()) {
                    assert_eq!(bit, 0x20, "byte {at}");
                    continue;
                }
                assert!(matches!(read, Err(JournalError::Damaged { .. })), "byte {at}: {read:?}");
                assert!(RunStore::open(dir.path()).is_err());
                assert_eq!(std::fs::read(dir.path().join(JOURNAL)).unwrap(), damaged, "damage is left as it is");
            }
        }
    }

    #[test]
    fn a_record_out_of_order_is_damage() {
        let (dir, whole) = journal(3);
        let lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
        for order in [vec![0, 2], vec![0, 1, 1, 2], vec![1, 0, 2], vec![1]] {
            let bytes: Vec<u8> = order.iter().flat_map(|n| lines[*n].to_vec()).collect();
            std::fs::write(dir.path().join(JOURNAL), bytes).unwrap();
            let error = read(dir.path()).unwrap_err();
            assert!(error.to_string().contains("should stand"), "{order:?}: {error}");
        }
    }

    #[test]
    fn only_one_process_holds_a_run() {
        let (dir, _) = journal(1);
        let (held, _) = RunStore::open(dir.path()).unwrap();
        let error = RunStore::open(dir.path()).unwrap_err();
        let JournalError::Locked { holder } = error else { panic!("{error}") };
        assert!(holder.contains(&std::process::id().to_string()), "{holder}");
        assert_eq!(read(dir.path()).unwrap().unwrap().len(), 1, "reading needs no lock");
        assert!(!yield_file(dir.path()).exists());
        ask_to_yield(dir.path()).unwrap();
        assert!(yield_file(dir.path()).exists());
        drop(held);
        let (_held, _) = RunStore::open(dir.path()).unwrap();
        assert!(!yield_file(dir.path()).exists(), "the wish was for the holder before");
    }

    #[test]
    fn an_ended_run_makes_room_and_stays_readable() {
        let (dir, first) = journal(2);
        for nth in 1..=2 {
            let (mut store, _) = RunStore::open(dir.path()).unwrap();
            store.archive().unwrap();
            assert_eq!(std::fs::read(dir.path().join(format!("journal-{nth}.jsonl"))).unwrap(), first);
            assert!(read(dir.path()).unwrap().unwrap().is_empty());
            store.append(&record(1)).unwrap();
            store.append(&record(2)).unwrap();
        }
        assert_eq!(numbers(&read(dir.path()).unwrap().unwrap()), [1, 2]);
    }
}
