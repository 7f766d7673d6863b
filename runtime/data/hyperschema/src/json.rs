//! JSON as JavaScript writes it, so that what is read and written again is the same bytes on all sides: numbers are 64-bit floats in
//! their shortest form, and keys that are array indices come first.

use std::cmp::Ordering;

use serde_json::{Number, Value as Json};

/// The text that `JSON.stringify` gives.
pub fn stringify(value: &Json) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

/// The value that `JSON.parse` gives; nested at most 128 deep.
pub fn parse(text: &str) -> Result<Json, serde_json::Error> {
    serde_json::from_str(text)
}

/// The number that a key of an object stands for, if JavaScript takes it for an array index.
pub(crate) fn array_index(key: &str) -> Option<u32> {
    let plain = key == "0" || (!key.starts_with(['0', '+']) && key.len() <= 10);
    key.parse().ok().filter(|&index| plain && index != u32::MAX)
}

/// How JavaScript orders the keys of an object: array indices first, by size, then all others as they came (use a stable sort).
pub(crate) fn key_order(a: &str, b: &str) -> Ordering {
    match (array_index(a), array_index(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => Ordering::Equal,
    }
}

fn write(value: &Json, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Number(number) => number_text(number, out),
        Json::String(text) => string(text, out),
        Json::Array(list) => {
            out.push('[');
            for (number, element) in list.iter().enumerate() {
                if number > 0 {
                    out.push(',');
                }
                write(element, out);
            }
            out.push(']');
        }
        Json::Object(object) => {
            let mut fields: Vec<_> = object.iter().collect();
            fields.sort_by(|a, b| key_order(a.0, b.0));
            out.push('{');
            for (number, (key, value)) in fields.into_iter().enumerate() {
                if number > 0 {
                    out.push(',');
                }
                string(key, out);
                out.push(':');
                write(value, out);
            }
            out.push('}');
        }
    }
}

fn string(text: &str, out: &mut String) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..' ' => out.push_str(&format!("\\u{:04x}", u32::from(char))),
            _ => out.push(char),
        }
    }
    out.push('"');
}

fn number_text(number: &Number, out: &mut String) {
    let float = number.as_f64().unwrap_or(f64::NAN);
    if !float.is_finite() {
        return out.push_str("null");
    }
    if float == 0.0 {
        return out.push('0');
    }
    if float < 0.0 {
        out.push('-');
    }
    // Rust and JavaScript agree on the shortest digits, not on where the point goes.
    let shortest = format!("{:e}", float.abs());
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let count = digits.len() as i32;
    match point {
        _ if (count..=21).contains(&point) => {
            out.push_str(&digits);
            out.extend(std::iter::repeat_n('0', (point - count) as usize));
        }
        1..=21 => {
            let (whole, fraction) = digits.split_at(point as usize);
            out.push_str(&format!("{whole}.{fraction}"));
        }
        -5..=0 => {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', point.unsigned_abs() as usize));
            out.push_str(&digits);
        }
        _ => {
            let (first, rest) = digits.split_at(1);
            out.push_str(first);
            if !rest.is_empty() {
                out.push_str(&format!(".{rest}"));
            }
            out.push_str(&format!("e{:+}", point - 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_javascript_prints_them() {
        for (text, printed) in [
            ("1.0", "1"),
            ("-0", "0"),
            ("0.1", "0.1"),
            ("1e21", "1e+21"),
            ("123456789012345680000", "123456789012345680000"),
            ("12345678901234567890123", "1.2345678901234568e+22"),
            ("0.000001", "0.000001"),
            ("0.00000012", "1.2e-7"),
            ("-1.5e-10", "-1.5e-10"),
            ("9007199254740993", "9007199254740992"),
            ("5e-324", "5e-324"),
        ] {
            assert_eq!(stringify(&parse(text).unwrap()), printed, "{text}");
        }
    }

    #[test]
    fn keys_that_are_indices_come_first() {
        let value = parse(r#"{"b":1,"10":2,"9":{"z":0,"1":[true,null]},"01":3,"4294967295":4}"#).unwrap();
        let text = r#"{"9":{"1":[true,null],"z":0},"10":2,"b":1,"01":3,"4294967295":4}"#;
        assert_eq!(stringify(&value), text);
    }
}
