//! Which changes of a definition break what is stored. npm's builder refuses some of them; these are all that its readers stumble over.

use crate::builder::{Builder, lives_in_flags};
use crate::definition::{Definition, Field};
use crate::error::SchemaError;

/// Whether what was written with one `schema.json` can be read with another, newer one: every type is still there and only grew at its end.
pub fn check(stored: &str, newer: &str) -> Result<(), SchemaError> {
    let stored = Builder::from_json(stored)?;
    let newer = Builder::from_json(newer)?;
    if newer.version() < stored.version() {
        return Err(SchemaError::Json(format!(
            "it has version {} and follows one of version {}: the two are the wrong way round, or the older one was built from scratch",
            newer.version(),
            stored.version()
        )));
    }
    for old in stored.definitions() {
        let type_name = old.full_name();
        let Some(new) = newer.get(&type_name) else {
            return Err(breaks(&type_name, "it is gone"));
        };
        compare(old, &mut new.clone())?;
        // Versions say which fields a reader of an older schema knows.
        let versions = |definition: &Definition| -> Vec<_> {
            let fields = definition.fields.iter().flatten().map(|field| field.version);
            let keys = definition.keys.iter().flatten().map(|key| key.version);
            fields.chain(keys).collect()
        };
        let moved = |(old, new): &(Option<u64>, Option<u64>)| old != new;
        if versions(old)
            .into_iter()
            .zip(versions(new))
            .any(|pair| moved(&pair))
        {
            return Err(breaks(
                &type_name,
                "a field or value that was there has another version",
            ));
        }
    }
    Ok(())
}

fn breaks(type_name: &str, what: impl Into<String>) -> SchemaError {
    SchemaError::Breaks {
        type_name: type_name.to_owned(),
        what: what.into(),
    }
}

/// Refuses `new` if it cannot stand in for `old`; what it leaves unsaid it takes over from there.
pub(crate) fn compare(old: &Definition, new: &mut Definition) -> Result<(), SchemaError> {
    let type_name = old.full_name();
    let breaks = |what: String| Err(breaks(&type_name, what));
    if old.kind() != new.kind() {
        return breaks(format!("it was {} and is {}", old.kind(), new.kind()));
    }
    if old.alias != new.alias {
        return breaks("it is an alias of another type".into());
    }
    if old.element != new.element || old.key != new.key || old.value != new.value {
        return breaks("what it holds has another type".into());
    }
    let old_offset = old.offset.unwrap_or(1);
    if *new.offset.get_or_insert(old_offset) != old_offset || old.strings != new.strings {
        return breaks("its values are other numbers, or no longer what they were".into());
    }
    let new_keys = new.keys.as_deref().unwrap_or_default();
    for (number, key) in old.keys.iter().flatten().enumerate() {
        match new_keys.get(number) {
            None => return breaks(format!("its value {} was removed", key.key)),
            Some(found) if found.key != key.key => {
                return breaks(format!("its value {} became {}", key.key, found.key));
            }
            Some(_) => {}
        }
    }
    if *new.framed.get_or_insert(old.framed == Some(true)) != (old.framed == Some(true)) {
        return breaks("it is written with a length in front now, or no longer".into());
    }
    let new_versions = new.versions.as_deref().unwrap_or_default();
    for (number, version) in old.versions.iter().flatten().enumerate() {
        let found = new_versions.get(number);
        if !found
            .is_some_and(|found| found.version == version.version && found.type_name == version.type_name)
        {
            return breaks(format!("its version {} is gone or another type", version.version));
        }
    }
    if old.kind() == "a struct" {
        compare_fields(old, new)?;
    }
    Ok(())
}

fn compare_fields(old: &Definition, new: &mut Definition) -> Result<(), SchemaError> {
    let type_name = old.full_name();
    let breaks = |what: String| Err(breaks(&type_name, what));
    let old_fields = old.fields.as_deref().unwrap_or_default();
    let new_fields = new.fields.as_deref().unwrap_or_default();
    let written = |fields: &[Field]| fields.iter().filter(|field| field.constant.is_none()).count();
    if old.compact != new.compact {
        return breaks("it became compact, or is so no longer".into());
    }
    if written(old_fields) > written(new_fields) {
        return breaks("a field was removed".into());
    }
    if old.compact && written(old_fields) != written(new_fields) {
        return breaks("it is compact, and got another field".into());
    }
    let required = |field: &Field| field.is_required() && !lives_in_flags(field);
    for (position, field) in new_fields.iter().enumerate() {
        let name = &field.name;
        let Some(was) = old_fields.get(position) else {
            if required(field) {
                return breaks(format!(
                    "the field {name} is new and required, and what is stored does not have it; make it optional"
                ));
            }
            continue;
        };
        if was.name != *name {
            return breaks(format!(
                "in place of the field {} stands {name}; add fields at the end",
                was.name
            ));
        }
        if was.type_name != field.type_name || was.is_array() != field.is_array() {
            return breaks(format!("the field {name} has another type"));
        }
        if required(was) != required(field) {
            return breaks(format!("the field {name} became required, or is so no longer"));
        }
        if was.constant.is_some() != field.constant.is_some() {
            return breaks(format!("the field {name} became a constant, or is one no longer"));
        }
        if was.is_inline() != field.is_inline() {
            return breaks(format!("the field {name} is inline now, or no longer"));
        }
    }
    match (new.flags_position, old.flags_position) {
        (None, Some(at)) if at >= 0 => new.flags_position = Some(at),
        (Some(new), Some(old)) if old >= 0 && new >= 0 && new != old => {
            return breaks("its flags stand at another place".into());
        }
        _ => {}
    }
    Ok(())
}
