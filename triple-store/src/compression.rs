//! Compressed files, by their extension.

use std::io::{self, Read};

/// A way in which a file may be compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Compression {
    #[cfg(feature = "compression")]
    Gzip,
    #[cfg(feature = "compression")]
    Zstandard,
}

impl Compression {
    #[cfg(feature = "compression")]
    pub(crate) fn from_extension(extension: &str) -> Option<Self> {
        match extension {
            "gz" => Some(Self::Gzip),
            "zst" => Some(Self::Zstandard),
            _ => None,
        }
    }

    #[cfg(not(feature = "compression"))]
    pub(crate) fn from_extension(_: &str) -> Option<Self> {
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

#[cfg(all(test, feature = "compression"))]
mod tests {
    use crate::TripleStore;
    use std::io::Write;

    #[test]
    fn compressed_files_are_read_by_their_extension() {
        let dir = tempfile::tempdir().unwrap();
        let text = "<urn:s> <urn:p> \"o\" .\n";
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text.as_bytes()).unwrap();
        let files = [
            ("a.nt.gz", gzip.finish().unwrap()),
            ("a.ttl.zst", zstd::encode_all(text.as_bytes(), 1).unwrap()),
        ];
        for (name, bytes) in files {
            let path = dir.path().join(name);
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(TripleStore::in_memory().load_file(&path).unwrap().added, 1);
            std::fs::write(&path, &bytes[..bytes.len() - 4]).unwrap();
            let store = TripleStore::in_memory();
            assert!(store.load_file(&path).is_err() && store.is_empty(), "{name} cut short");
        }
    }
}
