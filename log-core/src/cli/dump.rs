//! `log-core dump`: what a stopped log has written, record by record or entry by entry.

use std::fmt;
use std::io::{self, BufWriter, Write, stdout};
use std::path::{Path, PathBuf};

use crate::entry::{Entry, EntryKind};
use crate::ids::TopicName;
use crate::record::{BatchHeader, HEADER_BYTES, Records};
use crate::state::{Command, Envelope};
use crate::storage::read_entries;
use crate::tools::ShownRecord;
use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use clap::Args;
use journal::disk::{Disk, DiskFile, OpenMode, SystemDisk};
use serde::Serialize;

use super::offline::OfflineFolder;

/// What `dump` can be told.
#[derive(Args)]
pub(super) struct Arguments {
    /// The log's data folder. No process may use it.
    #[arg(long, value_name = "FOLDER", env = "LOG_CORE_DATA")]
    data: PathBuf,
    /// The records of a partition.
    #[arg(long, value_name = "TOPIC-PARTITION", value_parser = place, conflicts_with = "entries")]
    records: Option<(String, i32)>,
    /// The entries of the journal.
    #[arg(long, required_unless_present = "records")]
    entries: bool,
    /// One line of JSON each.
    #[arg(long)]
    json: bool,
}

fn place(text: &str) -> Result<(String, i32), String> {
    let place = text.rsplit_once('-').and_then(|(topic, partition)| {
        let partition = partition.parse().ok().filter(|partition| 0 <= *partition)?;
        let topic = TopicName::parse(topic).ok()?;
        Some((topic.as_str().to_owned(), partition))
    });
    place.ok_or_else(|| "a topic and a partition are needed, such as an-alert-0".to_owned())
}

/// Looks and prints.
pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let folder = OfflineFolder::open(&arguments.data)?;
    let mut printer = Printer {
        to: BufWriter::new(stdout().lock()),
        json: arguments.json,
    };
    let dumped = match &arguments.records {
        Some(place) => dump_records(&folder.path, place, &mut printer),
        None => dump_entries(&folder.path, &mut printer),
    };
    let printed = dumped.and_then(|()| Ok(printer.to.flush()?));
    match printed {
        // The reader went away, as `| head` does.
        Err(error) if is_closed_pipe(&error) => Ok(()),
        printed => printed,
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    kind == Some(io::ErrorKind::BrokenPipe)
}

struct Printer<W: Write> {
    to: W,
    json: bool,
}

impl<W: Write> Printer<W> {
    fn print(&mut self, item: &(impl Serialize + fmt::Display)) -> io::Result<()> {
        if self.json {
            serde_json::to_writer(&mut self.to, item)?;
            return writeln!(self.to);
        }
        writeln!(self.to, "{item}")
    }
}

/// An entry as it is shown.
#[derive(Serialize)]
struct ShownEntry {
    index: u64,
    epoch: u32,
    kind: &'static str,
    /// The clock of the leader that proposed the command, in milliseconds since 1970.
    at: Option<i64>,
    bytes: usize,
    says: String,
}

impl fmt::Display for ShownEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            index,
            epoch,
            kind,
            bytes,
            says,
            ..
        } = self;
        write!(f, "{index}  epoch {epoch}  {kind}  {bytes} bytes  {says}")
    }
}

fn dump_entries(folder: &Path, printer: &mut Printer<impl Write>) -> anyhow::Result<()> {
    let journal = read_entries(&SystemDisk, folder).context("read the journal")?;
    for entry in &journal.entries {
        printer.print(&ShownEntry::of(entry))?;
    }
    for finding in &journal.findings {
        eprintln!("log-core: {finding}");
    }
    Ok(())
}

impl ShownEntry {
    fn of(entry: &Entry) -> Self {
        let (kind, at, says) = match entry.kind {
            EntryKind::Membership => ("membership", None, String::new()),
            EntryKind::Command if entry.payload.is_empty() => {
                ("leader", None, "a new leader begins".to_owned())
            }
            EntryKind::Command => match Envelope::decode(&entry.payload) {
                Ok(envelope) => ("command", Some(envelope.at.0), command(&envelope.command)),
                Err(error) => ("command", None, error.to_string()),
            },
        };
        Self {
            index: entry.index.0,
            epoch: entry.epoch.0,
            kind,
            at,
            bytes: entry.payload.len(),
            says,
        }
    }
}

/// The command with what it holds; of a batch its size, since its records are another command's to show.
fn command(command: &Command) -> String {
    match command {
        Command::Produce(produce) => format!(
            "Produce {} batch of {} bytes",
            produce.partition,
            produce.batch.len()
        ),
        other => format!("{other:?}"),
    }
}

fn dump_records(
    folder: &Path,
    place: &(String, i32),
    printer: &mut Printer<impl Write>,
) -> anyhow::Result<()> {
    for segment in segments(folder, place)? {
        dump_segment(&segment, place, printer).with_context(|| segment.display().to_string())?;
    }
    Ok(())
}

/// The logs of a partition's segments, oldest first.
fn segments(folder: &Path, (topic, partition): &(String, i32)) -> anyhow::Result<Vec<PathBuf>> {
    let topics = folder.join("topics");
    let ids = if topics.is_dir() {
        SystemDisk.list(&topics)?
    } else {
        Vec::new()
    };
    let name = format!("{topic}-{partition}");
    let folders = ids.iter().map(|id| topics.join(id).join(&name));
    let Some(partition) = folders.into_iter().find(|folder| folder.is_dir()) else {
        bail!("there is no partition {name} in {}", folder.display());
    };
    let files = SystemDisk.list(&partition)?;
    let logs = files.iter().filter(|file| file.ends_with(".log"));
    Ok(logs.map(|file| partition.join(file)).collect())
}

fn dump_segment(
    path: &Path,
    place: &(String, i32),
    printer: &mut Printer<impl Write>,
) -> anyhow::Result<()> {
    let file = SystemDisk.open(path, OpenMode::Read)?;
    let mut position = 0;
    while let Some((header, batch)) =
        batch_at(&*file, position).with_context(|| format!("byte {position}"))?
    {
        // Markers of transactions are none of a producer's records.
        if !header.attributes.control {
            for record in Records::new(header, &batch) {
                let record = record.with_context(|| format!("byte {position}"))?;
                printer.print(&ShownRecord::of(place, record))?;
            }
        }
        position += u64::try_from(batch.len())?;
    }
    Ok(())
}

/// The batch at a byte; none at the end of what was written.
fn batch_at(file: &dyn DiskFile, position: u64) -> anyhow::Result<Option<(BatchHeader, Bytes)>> {
    let mut head = [0; HEADER_BYTES];
    let count = file.read_at(&mut head, position)?;
    // The rest of a file that was made larger than what is in it yet.
    if head[..count].iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    let header = BatchHeader::parse(&head[..count])?;
    let left = file.len()?.saturating_sub(position);
    if left < u64::try_from(header.size_bytes)? {
        bail!(
            "a batch of {} bytes, of which {left} are there",
            header.size_bytes
        );
    }
    let mut batch = vec![0; header.size_bytes];
    file.read_at(&mut batch, position)?;
    if !header.checksum_is_intact(&batch) {
        return Err(anyhow!("a batch whose checksum does not match"));
    }
    Ok(Some((header, batch.into())))
}
