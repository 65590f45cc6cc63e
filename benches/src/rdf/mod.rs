//! RDF input: a file of the user, or a generated shop.

mod generate;
mod links;

use std::{
    collections::HashMap,
    error::Error,
    fmt, fs, io,
    path::{Path, PathBuf},
};

pub(crate) use generate::{COUNTRIES, WORDS};
pub use generate::{shop, shop_without_graphs};
pub use links::{LINKS, links};
use oxrdf::{NamedOrBlankNode, Quad};
use oxrdfio::{RdfFormat, RdfParseError, RdfParser};

/// Quads, and where they came from.
#[derive(Clone, Debug)]
pub struct Input {
    /// The file, or how it was generated.
    pub name: String,
    /// All quads, in order.
    pub quads: Vec<Quad>,
}

impl Input {
    /// Reads a whole file, whose extension names its syntax.
    ///
    /// # Errors
    ///
    /// [`ReadError`], which names the file and, for a syntax error, its line and column. Nothing is returned of a file that
    /// does not parse to its end.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let format = path
            .extension()
            .and_then(|extension| RdfFormat::from_extension(extension.to_str()?))
            .ok_or_else(|| ReadError::Extension { file: path.to_owned() })?;
        let bytes = fs::read(path).map_err(|source| ReadError::Read { file: path.to_owned(), source })?;
        Self::parse(path, format, &bytes)
    }

    /// A generated shop of `products` products, read like a file.
    ///
    /// # Panics
    ///
    /// Panics for no products.
    pub fn generated(products: usize) -> Self {
        let name = format!("a generated shop of {products} products");
        let text = shop(products, 1);
        let input = Self::parse(Path::new("generated.nq"), RdfFormat::NQuads, text.as_bytes());
        Self { name, ..input.expect("what is generated is well formed") }
    }

    fn parse(path: &Path, format: RdfFormat, bytes: &[u8]) -> Result<Self, ReadError> {
        let quads = RdfParser::from_format(format)
            .for_slice(bytes)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| ReadError::syntax(path, &RdfParseError::from(error)))?;
        if quads.is_empty() {
            return Err(ReadError::Empty { file: path.to_owned() });
        }
        Ok(Self { name: path.display().to_string(), quads })
    }

    /// The quads of each subject together, in order of first appearance, at most about `limit` quads in all.
    ///
    /// If there are more, whole subjects are left out, evenly spread over the input.
    pub fn by_subject(&self, limit: usize) -> Vec<Vec<Quad>> {
        let mut places: HashMap<&NamedOrBlankNode, usize> = HashMap::new();
        let mut subjects: Vec<Vec<Quad>> = Vec::new();
        for quad in &self.quads {
            let place = *places.entry(&quad.subject).or_insert_with(|| {
                subjects.push(Vec::new());
                subjects.len() - 1
            });
            subjects[place].push(quad.clone());
        }
        let one_in = self.quads.len().div_ceil(limit.max(1));
        subjects.into_iter().step_by(one_in).collect()
    }
}

/// Why a file cannot be the input.
#[derive(Debug)]
pub enum ReadError {
    /// The extension names no RDF syntax.
    Extension {
        /// The file.
        file: PathBuf,
    },
    /// The file cannot be read.
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file does not parse.
    Syntax {
        /// The file.
        file: PathBuf,
        /// Line and column, both from 1, where the parser knows them.
        place: Option<(u64, u64)>,
        /// What is wrong there.
        message: String,
    },
    /// The file holds no quads.
    Empty {
        /// The file.
        file: PathBuf,
    },
}

impl ReadError {
    fn syntax(file: &Path, error: &RdfParseError) -> Self {
        let (place, message) = match error {
            RdfParseError::Syntax(error) => {
                let start = error.location().map(|location| location.start);
                (start.map(|start| (start.line + 1, start.column + 1)), error.to_string())
            }
            RdfParseError::Io(error) => (None, error.to_string()),
        };
        Self::Syntax { file: file.to_owned(), place, message }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extension { file } => {
                let known = "nt, nq, ttl, trig, rdf, jsonld, n3";
                write!(f, "{}: the extension names no RDF syntax (known: {known})", file.display())
            }
            Self::Read { file, source } => write!(f, "{}: {source}", file.display()),
            Self::Syntax { file, place: Some((line, column)), message } => {
                write!(f, "{}:{line}:{column}: {message}", file.display())
            }
            Self::Syntax { file, place: None, message } => write!(f, "{}: {message}", file.display()),
            Self::Empty { file } => write!(f, "{}: no quads in it, so nothing to load", file.display()),
        }
    }
}

impl Error for ReadError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(format: RdfFormat, text: &str) -> Result<Input, ReadError> {
        Input::parse(Path::new("x"), format, text.as_bytes())
    }

    #[test]
    fn a_syntax_error_says_where() {
        let text = "<http://a/s> <http://a/p> <http://a/o> .\n<http://a/s> <http://a/p> oops .\n";
        let error = parse(RdfFormat::NQuads, text).unwrap_err();
        let ReadError::Syntax { place: Some((line, column)), .. } = &error else { panic!("{error:?}") };
        assert_eq!((*line, *column), (2, 27));
        assert!(error.to_string().starts_with("x:2:27: "), "{error}");
    }

    #[test]
    fn a_file_without_quads_is_an_error() {
        assert!(matches!(parse(RdfFormat::Turtle, "# nothing\n"), Err(ReadError::Empty { .. })));
    }

    #[test]
    fn the_error_names_a_file_that_cannot_be_the_input() {
        let unknown = Input::read(Path::new("data.csv")).unwrap_err();
        assert!(unknown.to_string().starts_with("data.csv: "), "{unknown}");
        let missing = Input::read(Path::new("missing/data.nq")).unwrap_err();
        assert!(matches!(missing, ReadError::Read { .. }), "{missing}");
    }

    #[test]
    fn quads_of_a_subject_come_together_and_none_is_lost() {
        let input = Input::generated(20);
        let subjects = input.by_subject(usize::MAX);
        assert_eq!(subjects.iter().map(Vec::len).sum::<usize>(), input.quads.len());
        assert!(subjects.iter().all(|quads| quads.iter().all(|quad| quad.subject == quads[0].subject)));
        let fewer: usize = input.by_subject(input.quads.len() / 4).iter().map(Vec::len).sum();
        assert!(fewer < input.quads.len() / 2, "{fewer} of {}", input.quads.len());
    }

    #[test]
    fn the_shop_repeats_and_grows_with_its_products() {
        assert_eq!(shop(5, 1), shop(5, 1));
        assert_ne!(shop(5, 1), shop(5, 2));
        let (small, large) = (Input::generated(50).quads.len(), Input::generated(500).quads.len());
        assert!((8 * small..12 * small).contains(&large), "{small} and {large}");
    }
}
