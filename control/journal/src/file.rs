//! The file: made whole or not at all, opened by one process, read once.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition};

use crate::error::OpenError;
use crate::record::{Records, Table};

/// The format this Podlane writes: the tables, their keys and what their values are.
const FORMAT: u32 = 1;

/// Memory for pages. A record of 500 bytes for each of 5,000 pods fits; `redb` would take a gigabyte.
const CACHE_BYTES: usize = 4 << 20;

/// What every `redb` file begins with.
const MAGIC: &[u8; 4] = b"redb";

const META: TableDefinition<'static, &'static str, &'static str> = TableDefinition::new("meta");
const FORMAT_KEY: &str = "format";
const BOOT_KEY: &str = "boot";

/// Opens the journal at `path`, or makes it.
pub(crate) fn open(path: &Path) -> Result<Database, OpenError> {
    if !path.try_exists().map_err(|source| io_error(path, source))? {
        make(path)?;
    }
    let database = open_there(path)?;
    // Left by a daemon that was killed between the two steps of making; whoever makes one now finds this one and stops.
    match fs::remove_file(begun(path)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error(path, source)),
        _ => Ok(database),
    }
}

/// Opens a journal that is there.
pub(crate) fn open_there(path: &Path) -> Result<Database, OpenError> {
    let mut file = OpenOptions::new().read(true).write(true).open(path).map_err(|source| io_error(path, source))?;
    let mut begin = [0; MAGIC.len()];
    let is_ours = file.metadata().is_ok_and(|metadata| metadata.is_file())
        && match file.read_exact(&mut begin) {
            Ok(()) => begin == *MAGIC,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
            Err(source) => return Err(io_error(path, source)),
        };
    if !is_ours {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    database(file).map_err(|error| refused(path, error))
}

/// All that is in it. The boot is told apart here and written down, because who reads it is the one who puts things right.
pub(crate) fn read(database: &Database, path: &Path) -> Result<Records, OpenError> {
    let boot = boot_id(path)?;
    let (records, former) = all(database).map_err(|error| damaged(path, &error))?;
    let Former { format, boot: former } = former;
    if format > FORMAT {
        return Err(OpenError::Later { path: path.to_owned(), found: format, known: FORMAT });
    }
    let is_rebooted = former != boot;
    if is_rebooted {
        write_meta(database, &boot).map_err(|error| damaged(path, &error))?;
    }
    Ok(Records { is_rebooted, ..records })
}

struct Former {
    format: u32,
    boot: String,
}

fn all(database: &Database) -> Result<(Records, Former), redb::Error> {
    let transaction = database.begin_read()?;
    let mut records = Records::default();
    for table in Table::ALL {
        let rows = transaction.open_table(table.definition())?;
        for row in rows.iter()? {
            let (key, value) = row?;
            records.of_mut(table).insert(key.value().to_owned(), value.value().to_vec());
        }
    }
    let meta = transaction.open_table(META)?;
    let word = |key| Ok::<_, redb::Error>(meta.get(key)?.map(|value| value.value().to_owned()).unwrap_or_default());
    let format = word(FORMAT_KEY)?.parse().map_err(|_| redb::Error::Corrupted("the format is no number".to_owned()))?;
    Ok((records, Former { format, boot: word(BOOT_KEY)? }))
}

/// Makes an empty journal beside its place and puts it there in one step, so that one that was begun is never found.
fn make(path: &Path) -> Result<(), OpenError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let io = |source| io_error(path, source);
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io)?;
    let begun = begun(path);
    // What a killed daemon began is begun anew; hence nothing is truncated before it is ours.
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&begun);
    let file = file.map_err(io)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(OpenError::Held { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(io(source)),
    }
    // Another daemon was faster: then this may be the very file, under its first name.
    if path.try_exists().map_err(io)? {
        return Ok(());
    }
    file.set_len(0).map_err(io)?;
    let made = database(file).map_err(|error| refused(path, error))?;
    write_meta(&made, &boot_id(path)?).map_err(|error| damaged(path, &error))?;
    fs::hard_link(&begun, path).map_err(io)?;
    fs::remove_file(&begun).map_err(io)?;
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)
}

fn begun(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// The meta table, and all others there, though empty.
fn write_meta(database: &Database, boot: &str) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    for table in Table::ALL {
        transaction.open_table(table.definition())?;
    }
    let mut meta = transaction.open_table(META)?;
    meta.insert(FORMAT_KEY, FORMAT.to_string().as_str())?;
    meta.insert(BOOT_KEY, boot)?;
    drop(meta);
    transaction.commit()?;
    Ok(())
}

fn database(file: File) -> Result<Database, DatabaseError> {
    let mut builder = Builder::new();
    // Checked as a whole: `redb` trusts a file that was closed well, and may panic over one that was changed since.
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
    builder.create_with_backend(FileBackend::new(file)?)
}

/// The kernel's name for the time since the machine was started.
fn boot_id(path: &Path) -> Result<String, OpenError> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(|source| io_error(path, source))?;
    Ok(boot.trim().to_owned())
}

fn refused(path: &Path, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => OpenError::Held { path },
        DatabaseError::Storage(StorageError::Io(source)) if source.raw_os_error().is_some() => {
            OpenError::Io { path, source }
        }
        other => OpenError::Damaged { path, what: other.to_string() },
    }
}

fn damaged(path: &Path, error: &redb::Error) -> OpenError {
    match error {
        redb::Error::Io(source) if let Some(code) = source.raw_os_error() => {
            io_error(path, io::Error::from_raw_os_error(code))
        }
        other => OpenError::Damaged { path: path.to_owned(), what: other.to_string() },
    }
}

fn io_error(path: &Path, source: io::Error) -> OpenError {
    OpenError::Io { path: path.to_owned(), source }
}
