//! Compressed files, by their extension.

use oxrdfio::RdfFormat;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

/// A compression format of files.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Compression {
    #[cfg(feature = "compression")]
    Gzip,
    #[cfg(feature = "compression")]
    Zstandard,
}

/// The syntax and compression that a file's extensions name.
pub(crate) fn of_file(path: &Path) -> (Option<RdfFormat>, Option<Compression>) {
    let extension = |path: &Path| path.extension().and_then(|extension| Some(extension.to_str()?.to_owned()));
    let compression = extension(path).and_then(|extension| Compression::from_extension(&extension));
    let inner = if compression.is_some() { path.with_extension("") } else { path.to_owned() };
    let format = extension(&inner).and_then(|extension| RdfFormat::from_extension(&extension));
    (format, compression)
}

impl Compression {
    #[cfg(feature = "compression")]
    fn from_extension(extension: &str) -> Option<Self> {
        match extension {
            "gz" => Some(Self::Gzip),
            "zst" => Some(Self::Zstandard),
            _ => None,
        }
    }

    #[cfg(not(feature = "compression"))]
    fn from_extension(_: &str) -> Option<Self> {
        None
    }

    #[cfg(feature = "compression")]
    pub(crate) fn reader<'a>(self, reader: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::read::MultiGzDecoder::new(reader)),
            Self::Zstandard => Box::new(zstd::Decoder::new(reader)?),
        })
    }

    #[cfg(not(feature = "compression"))]
    pub(crate) fn reader<'a>(self, _: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        match self {}
    }
}

/// A file for writing.
pub(crate) enum Writer {
    Plain(BufWriter<File>),
    #[cfg(feature = "compression")]
    Gzip(BufWriter<flate2::write::GzEncoder<File>>),
    #[cfg(feature = "compression")]
    Zstandard(BufWriter<zstd::Encoder<'static, File>>),
}

impl Writer {
    #[cfg_attr(
        not(feature = "compression"),
        expect(clippy::unnecessary_wraps, reason = "only an encoder can fail to begin")
    )]
    pub(crate) fn new(file: File, compression: Option<Compression>) -> io::Result<Self> {
        Ok(match compression {
            None => Self::Plain(BufWriter::new(file)),
            #[cfg(feature = "compression")]
            Some(Compression::Gzip) => {
                let level = flate2::Compression::default();
                Self::Gzip(BufWriter::new(flate2::write::GzEncoder::new(file, level)))
            }
            #[cfg(feature = "compression")]
            Some(Compression::Zstandard) => {
                Self::Zstandard(BufWriter::new(zstd::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?))
            }
        })
    }

    /// Writes the rest and the end of the file.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Self::Plain(mut writer) => writer.flush(),
            #[cfg(feature = "compression")]
            Self::Gzip(writer) => writer.into_inner()?.finish().map(drop),
            #[cfg(feature = "compression")]
            Self::Zstandard(writer) => writer.into_inner()?.finish().map(drop),
        }
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(writer) => writer.write(bytes),
            #[cfg(feature = "compression")]
            Self::Gzip(writer) => writer.write(bytes),
            #[cfg(feature = "compression")]
            Self::Zstandard(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(writer) => writer.flush(),
            #[cfg(feature = "compression")]
            Self::Gzip(writer) => writer.flush(),
            #[cfg(feature = "compression")]
            Self::Zstandard(writer) => writer.flush(),
        }
    }
}

#[cfg(all(test, feature = "compression"))]
mod tests {
    use crate::TripleStore;

    #[test]
    fn compressed_files_are_written_and_read_by_their_extension() {
        let dir = tempfile::tempdir().unwrap();
        let store = TripleStore::in_memory();
        store.update("INSERT DATA { <urn:s> <urn:p> 'o' }").unwrap();
        for (name, magic) in [("a.nt.gz", &[0x1f, 0x8b][..]), ("a.ttl.zst", &[0x28, 0xb5, 0x2f, 0xfd])] {
            let path = dir.path().join(name);
            store.snapshot().dump_file(&path).unwrap();
            let bytes = std::fs::read(&path).unwrap();
            assert!(bytes.starts_with(magic), "{name}");
            assert_eq!(TripleStore::in_memory().load_file(&path).unwrap().added, 1);
            std::fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();
            let cut = TripleStore::in_memory();
            assert!(cut.load_file(&path).is_err() && cut.is_empty(), "{name} cut short");
        }
    }
}
