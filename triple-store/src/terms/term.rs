//! RDF terms as 64-bit ids.
//!
//! The four high bits say what the other 60 bits are: the number of a term in the
//! [dictionary](crate::storage::dictionary), or the value itself. A literal is inlined only if formatting the value
//! gives exactly its lexical form, so a dump has the same text as the load: `"5"^^xsd:integer` is inlined,
//! `"05"^^xsd:integer` is not.

use oxrdf::vocab::xsd;
use oxrdf::{Literal, LiteralRef, NamedNodeRef};
use oxsdatatypes::Decimal;
use std::fmt::Write as _;

/// An RDF term, or the default graph, in 64 bits.
///
/// Within one store, two terms are equal if and only if their ids are equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TermId(pub(crate) u64);

/// The number of bits of the value or number. The other bits are the [`Kind`].
const PAYLOAD_BITS: u32 = 60;
const PAYLOAD: u64 = (1 << PAYLOAD_BITS) - 1;

/// The kind of the payload of a [`TermId`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Only in the graph position. Its payload is 0, so it sorts before every named graph.
    DefaultGraph = 0,
    NamedNode = 1,
    BlankNode = 2,
    Literal = 3,
    Triple = 4,
    /// A term that a query computed and that is not in the store. Its number is valid in that query only.
    Local = 5,
    /// `xsd:integer` in 60 bits of two's complement.
    Integer = 8,
    Boolean = 9,
    /// A simple literal of at most seven bytes.
    String = 10,
    /// `xsd:decimal`: 56 bits of two's complement, then 4 bits of scale.
    Decimal = 11,
    /// `xsd:date` without a time zone: year, month, day.
    Date = 12,
    /// `xsd:dateTime` in whole seconds, by fields, with its time zone as written.
    DateTime = 13,
    /// A datatype derived from `xsd:integer`: 56 bits of two's complement, then 4 bits for the datatype.
    DerivedInteger = 14,
}

/// The datatypes of [`Kind::DerivedInteger`]. The position is a part of the stored format.
const DERIVED_INTEGERS: [NamedNodeRef<'static>; 12] = [
    xsd::INT,
    xsd::LONG,
    xsd::SHORT,
    xsd::BYTE,
    xsd::NON_NEGATIVE_INTEGER,
    xsd::POSITIVE_INTEGER,
    xsd::NON_POSITIVE_INTEGER,
    xsd::NEGATIVE_INTEGER,
    xsd::UNSIGNED_INT,
    xsd::UNSIGNED_LONG,
    xsd::UNSIGNED_SHORT,
    xsd::UNSIGNED_BYTE,
];

const XSD: &str = "http://www.w3.org/2001/XMLSchema#";

impl TermId {
    pub(crate) const DEFAULT_GRAPH: Self = Self(0);

    pub(crate) const fn new(kind: Kind, payload: u64) -> Self {
        Self((kind as u64) << PAYLOAD_BITS | payload & PAYLOAD)
    }

    /// The kind, or `None` for bits that no version of this code writes.
    pub(crate) const fn kind(self) -> Option<Kind> {
        Some(match self.0 >> PAYLOAD_BITS {
            0 => Kind::DefaultGraph,
            1 => Kind::NamedNode,
            2 => Kind::BlankNode,
            3 => Kind::Literal,
            4 => Kind::Triple,
            5 => Kind::Local,
            8 => Kind::Integer,
            9 => Kind::Boolean,
            10 => Kind::String,
            11 => Kind::Decimal,
            12 => Kind::Date,
            13 => Kind::DateTime,
            14 => Kind::DerivedInteger,
            _ => return None,
        })
    }

    pub(crate) const fn payload(self) -> u64 {
        self.0 & PAYLOAD
    }

    /// The number in the dictionary, if the term is in it.
    pub(crate) const fn dictionary_index(self) -> Option<u64> {
        match self.kind() {
            Some(Kind::NamedNode | Kind::BlankNode | Kind::Literal | Kind::Triple) => Some(self.payload()),
            _ => None,
        }
    }

    pub(crate) const fn is_default_graph(self) -> bool {
        self.0 == 0
    }

    /// The value of a [`Kind::Integer`].
    pub(crate) const fn integer(self) -> i64 {
        self.signed(0)
    }

    /// The value of a [`Kind::Decimal`]. `None` only if the bits are damaged.
    pub(crate) fn decimal(self) -> Option<Decimal> {
        Decimal::new(self.signed(4).into(), (self.payload() & 0xf) as u32).ok()
    }

    /// The id of an `xsd:integer` in its canonical form, if the value is small enough.
    pub(crate) const fn of_integer(value: i64) -> Option<Self> {
        let id = Self::new(Kind::Integer, value.cast_unsigned());
        if id.integer() == value { Some(id) } else { None }
    }

    /// The payload, shifted right, as a signed number.
    const fn signed(self, shift: u32) -> i64 {
        (self.0 << (64 - PAYLOAD_BITS)).cast_signed() >> (64 - PAYLOAD_BITS + shift)
    }
}

impl std::fmt::Debug for TermId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.kind() {
            Some(kind) => write!(f, "{kind:?}({})", self.payload()),
            None => write!(f, "Invalid({:#x})", self.0),
        }
    }
}

/// The id of a literal that is small enough to be encoded in it.
pub(crate) fn inline_literal(literal: LiteralRef<'_>) -> Option<TermId> {
    let value = literal.value();
    if literal.datatype() == xsd::STRING {
        return inline_string(value);
    }
    // The longest lexical form that fits is a dateTime with an offset, 25 bytes.
    if value.len() > 25 {
        return None;
    }
    let id = match literal.datatype().as_str().strip_prefix(XSD)? {
        "integer" => TermId::of_integer(value.parse().ok()?)?,
        "boolean" => TermId::new(Kind::Boolean, u64::from(value == "true")),
        "decimal" => decimal(value)?,
        "date" => date(value)?,
        "dateTime" => date_time(value)?,
        _ => {
            let datatype = DERIVED_INTEGERS.iter().position(|d| *d == literal.datatype())? as u64;
            let n = integer(value, PAYLOAD_BITS - 4)?;
            TermId::new(Kind::DerivedInteger, (n << 4).cast_unsigned() | datatype)
        }
    };
    // One rule for every datatype: a literal is inlined only if formatting the id gives the same text.
    let mut back = String::with_capacity(value.len());
    write_lexical(id, &mut back)?;
    (back == value).then_some(id)
}

/// The literal that [`inline_literal`] encoded in this id. `None` if the id is not an inlined literal.
pub(crate) fn inlined_literal(id: TermId) -> Option<Literal> {
    let mut value = String::new();
    write_lexical(id, &mut value)?;
    let datatype = match id.kind()? {
        Kind::String => return Some(Literal::new_simple_literal(value)),
        Kind::Integer => xsd::INTEGER,
        Kind::Boolean => xsd::BOOLEAN,
        Kind::Decimal => xsd::DECIMAL,
        Kind::Date => xsd::DATE,
        Kind::DateTime => xsd::DATE_TIME,
        Kind::DerivedInteger => *DERIVED_INTEGERS.get((id.payload() & 0xf) as usize)?,
        _ => return None,
    };
    Some(Literal::new_typed_literal(value, datatype))
}

fn write_lexical(id: TermId, out: &mut String) -> Option<()> {
    match id.kind()? {
        Kind::Integer => write!(out, "{}", id.signed(0)).ok()?,
        Kind::Boolean => out.push_str(if id.payload() == 1 { "true" } else { "false" }),
        Kind::String => write_string(id, out)?,
        Kind::Decimal => write_decimal(id, out)?,
        Kind::Date => {
            let bits = id.payload();
            write!(out, "{:04}-{:02}-{:02}", bits >> 9, bits >> 5 & 0xf, bits & 0x1f).ok()?;
        }
        Kind::DateTime => write_date_time(id, out)?,
        Kind::DerivedInteger => write!(out, "{}", id.signed(4)).ok()?,
        _ => return None,
    }
    Some(())
}

fn inline_string(value: &str) -> Option<TermId> {
    let mut bytes = [0; 8];
    bytes.get_mut(1..=value.len())?.copy_from_slice(value.as_bytes());
    // The text is in the high bytes of the payload, so ids sort like the texts. The length is in the low four bits.
    Some(TermId::new(Kind::String, u64::from_be_bytes(bytes) << 4 | value.len() as u64))
}

fn write_string(id: TermId, out: &mut String) -> Option<()> {
    let bytes = (id.payload() >> 4).to_be_bytes();
    out.push_str(std::str::from_utf8(bytes.get(1..=(id.payload() & 0xf) as usize)?).ok()?);
    Some(())
}

/// The value, if it fits into `bits` bits of two's complement.
fn integer(value: &str, bits: u32) -> Option<i64> {
    let n: i64 = value.parse().ok()?;
    (n << (64 - bits) >> (64 - bits) == n).then_some(n)
}

fn decimal(value: &str) -> Option<TermId> {
    let (whole, fraction) = value.split_once('.')?;
    let scale = u64::try_from(fraction.len()).ok().filter(|scale| (1..16).contains(scale))?;
    let n = integer(&format!("{whole}{fraction}"), PAYLOAD_BITS - 4)?;
    Some(TermId::new(Kind::Decimal, (n << 4).cast_unsigned() | scale))
}

fn write_decimal(id: TermId, out: &mut String) -> Option<()> {
    let scale = (id.payload() & 0xf) as usize;
    let n = id.signed(4);
    let digits = format!("{:0width$}", n.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    write!(out, "{}{whole}.{fraction}", if n < 0 { "-" } else { "" }).ok()
}

/// `YYYY-MM-DD` as bits. Calendar rules don't matter here: only the text has to be preserved.
fn date_bits(value: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| value.get(range)?.parse::<u64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    Some(year << 9 | month << 5 | day & 0x1f)
}

fn date(value: &str) -> Option<TermId> {
    Some(TermId::new(Kind::Date, date_bits(value.get(..10)?)?))
}

/// Time zone codes of a dateTime: none, `Z`, or the offset in minutes plus a constant that makes it positive.
const NO_ZONE: u64 = 0;
const UTC: u64 = 1;
const ZERO_OFFSET: u64 = 1024;

fn date_time(value: &str) -> Option<TermId> {
    let number = |range: std::ops::Range<usize>| value.get(range)?.parse::<u64>().ok();
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let zone = match value.get(19..)? {
        "" => NO_ZONE,
        "Z" => UTC,
        _ => {
            let offset = number(20..22)? * 60 + number(23..25)?;
            match value.as_bytes()[19] {
                _ if offset > 14 * 60 => return None,
                b'+' => ZERO_OFFSET + offset,
                b'-' => ZERO_OFFSET - offset,
                _ => return None,
            }
        }
    };
    let time = hour << 12 | (minute & 0x3f) << 6 | second & 0x3f;
    Some(TermId::new(Kind::DateTime, date_bits(value.get(..10)?)? << 28 | (time & 0x1_ffff) << 11 | zone))
}

fn write_date_time(id: TermId, out: &mut String) -> Option<()> {
    let bits = id.payload();
    let (date, time, zone) = (bits >> 28, bits >> 11 & 0x1_ffff, bits & 0x7ff);
    write!(out, "{:04}-{:02}-{:02}T", date >> 9, date >> 5 & 0xf, date & 0x1f).ok()?;
    write!(out, "{:02}:{:02}:{:02}", time >> 12, time >> 6 & 0x3f, time & 0x3f).ok()?;
    match zone {
        NO_ZONE => {}
        UTC => out.push('Z'),
        _ => {
            let minutes = zone.abs_diff(ZERO_OFFSET);
            let sign = if zone < ZERO_OFFSET { '-' } else { '+' };
            write!(out, "{sign}{:02}:{:02}", minutes / 60, minutes % 60).ok()?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inlined(value: &str, datatype: NamedNodeRef<'_>) -> bool {
        let literal = LiteralRef::new_typed_literal(value, datatype);
        let id = inline_literal(literal);
        if let Some(id) = id {
            assert_eq!(inlined_literal(id).unwrap().as_ref(), literal, "{id:?}");
            if id.kind() == Some(Kind::Decimal) {
                assert_eq!(id.decimal(), value.parse().ok(), "{value}");
            }
        }
        id.is_some()
    }

    #[test]
    fn canonical_values_are_inlined_and_come_back() {
        for (value, datatype) in [
            ("0", xsd::INTEGER),
            ("-1", xsd::INTEGER),
            ("576460752303423487", xsd::INTEGER),
            ("-576460752303423488", xsd::INTEGER),
            ("true", xsd::BOOLEAN),
            ("false", xsd::BOOLEAN),
            ("", xsd::STRING),
            ("abcdefg", xsd::STRING),
            ("a\0b", xsd::STRING),
            ("été", xsd::STRING),
            ("1.50", xsd::DECIMAL),
            ("-0.001", xsd::DECIMAL),
            ("0.0", xsd::DECIMAL),
            ("2024-02-29", xsd::DATE),
            ("0000-00-00", xsd::DATE),
            ("2024-02-29T23:59:60", xsd::DATE_TIME),
            ("9999-12-31T00:00:00Z", xsd::DATE_TIME),
            ("2024-02-29T00:00:00-14:00", xsd::DATE_TIME),
            ("2024-02-29T00:00:00+00:00", xsd::DATE_TIME),
            ("-7", xsd::INT),
            ("7", xsd::UNSIGNED_BYTE),
            ("36028797018963967", xsd::LONG),
        ] {
            assert!(inlined(value, datatype), "{value} {datatype}");
        }
    }

    #[test]
    fn literals_that_would_change_are_not_inlined() {
        for (value, datatype) in [
            ("05", xsd::INTEGER),
            ("+5", xsd::INTEGER),
            ("-0", xsd::INTEGER),
            ("", xsd::INTEGER),
            ("576460752303423488", xsd::INTEGER),
            ("1", xsd::BOOLEAN),
            ("TRUE", xsd::BOOLEAN),
            ("abcdefgh", xsd::STRING),
            ("1", xsd::DECIMAL),
            ("1.", xsd::DECIMAL),
            (".5", xsd::DECIMAL),
            ("-0.0", xsd::DECIMAL),
            ("00.5", xsd::DECIMAL),
            ("1.0000000000000000", xsd::DECIMAL),
            ("1.-5", xsd::DECIMAL),
            ("2024-2-29", xsd::DATE),
            ("2024-02-29Z", xsd::DATE),
            ("-2024-02-29", xsd::DATE),
            ("2024-99-99", xsd::DATE),
            ("+024-02-29", xsd::DATE),
            ("2024-02-29T00:00:00.5", xsd::DATE_TIME),
            ("2024-02-29T00:00:00+15:00", xsd::DATE_TIME),
            ("2024-02-29T00:00:00*01:00", xsd::DATE_TIME),
            ("2024-02-29T99:99:99", xsd::DATE_TIME),
            ("2024-02-29\u{e9}00:00:00", xsd::DATE_TIME),
            ("36028797018963968", xsd::LONG),
            ("1.5", xsd::DOUBLE),
        ] {
            assert!(!inlined(value, datatype), "{value} {datatype}");
        }
        assert!(inline_literal(LiteralRef::new_language_tagged_literal_unchecked("a", "en")).is_none());
    }

    #[test]
    fn every_kind_is_read_back_from_its_bits() {
        for bits in 0..16u64 {
            if let Some(kind) = TermId(bits << PAYLOAD_BITS).kind() {
                assert_eq!(kind as u64, bits);
                assert_eq!(TermId::new(kind, u64::MAX).kind(), Some(kind));
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_literal_is_inlined_without_a_change_or_not_at_all(
            value in "[-+]?[0-9]{0,6}[.]?[0-9]{0,6}|\\PC{0,9}|[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[-+][0-9]{2}:[0-9]{2})?)?",
            datatype in 0usize..20,
        ) {
            let others = [xsd::INTEGER, xsd::BOOLEAN, xsd::STRING, xsd::DECIMAL, xsd::DATE, xsd::DATE_TIME];
            let datatype = *DERIVED_INTEGERS.iter().chain(&others).nth(datatype % 18).unwrap();
            inlined(&value, datatype);
        }
    }
}
