//! `#[derive(Record)]`: Rust structs as structs of a hyperschema. `hyperschema` says how it is used; this crate is there because a derive
//! needs one of its own. A derive, and no macro around the struct: the struct stays plain Rust, which editors and other derives read.

#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, LitStr, Path, parse_macro_input};

/// Implements `hyperschema::Record`, `FieldValue` (the struct may be a field of another) and `From<…> for Value`.
#[proc_macro_derive(Record, attributes(schema))]
pub fn record(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand(&input).unwrap_or_else(Error::into_compile_error).into()
}

/// What stands in `#[schema(…)]` at the struct.
struct OfStruct {
    name: LitStr,
    compact: bool,
    krate: Path,
}

/// What stands in `#[schema(…)]` at a field.
#[derive(Default)]
struct OfField {
    name: Option<LitStr>,
    type_name: Option<LitStr>,
    optional: bool,
    inline: bool,
}

fn expand(input: &DeriveInput) -> Result<Tokens, Error> {
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(input.span(), "a Record is a struct"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new(input.span(), "the fields of a Record have names"));
    };
    let OfStruct { name, compact, krate } = of_struct(input)?;
    let compact = compact.then(|| quote!(.compact()));
    let (mut described, mut given, mut taken) = (Vec::new(), Vec::new(), Vec::new());
    for field in &fields.named {
        let Some(ident) = &field.ident else { continue };
        let of = of_field(field)?;
        let name = of
            .name
            .map_or_else(|| camel_case(&ident.to_string()), |name| name.value());
        let ty = &field.ty;
        let type_name = match &of.type_name {
            Some(type_name) => quote!(Some(#type_name)),
            None => quote!(None),
        };
        let optional = of.optional.then(|| quote!(.optional()));
        let inline = of.inline.then(|| quote!(.inline()));
        described.push(quote! {
            .field(#krate::record::field::<#ty>(#name, #type_name) #optional #inline)
        });
        given.push(quote! {
            object.set(#name, #krate::FieldValue::into_value(self.#ident));
        });
        taken.push(quote! {
            #ident: #krate::record::take(&mut object, #name)?
        });
    }
    let ident = &input.ident;
    let (impls, types, bounds) = input.generics.split_for_impl();
    Ok(quote! {
        impl #impls #krate::Record for #ident #types #bounds {
            const NAME: &'static str = #name;

            fn definition() -> #krate::Definition {
                let name = #name.rsplit('/').next().unwrap_or_default();
                #krate::Definition::structure(name) #compact #(#described)*
            }

            fn into_value(self) -> #krate::Value {
                let mut object = #krate::Object::new();
                #(#given)*
                object.into()
            }

            fn from_value(value: #krate::Value) -> ::core::result::Result<Self, #krate::FromValueError> {
                let mut object = match value {
                    #krate::Value::Object(object) => object,
                    other => return Err(#krate::FromValueError::new("a struct", &other)),
                };
                Ok(Self { #(#taken),* })
            }
        }

        impl #impls #krate::FieldValue for #ident #types #bounds {
            fn type_name() -> ::std::string::String {
                #name.into()
            }

            fn into_value(self) -> #krate::Value {
                #krate::Record::into_value(self)
            }

            fn from_value(value: #krate::Value) -> ::core::result::Result<Self, #krate::FromValueError> {
                #krate::Record::from_value(value)
            }
        }

        impl #impls #krate::record::Element for #ident #types #bounds {}

        impl #impls ::core::convert::From<#ident #types> for #krate::Value #bounds {
            fn from(record: #ident #types) -> Self {
                #krate::Record::into_value(record)
            }
        }
    })
}

fn of_struct(input: &DeriveInput) -> Result<OfStruct, Error> {
    let (mut name, mut compact) = (None, false);
    let mut krate: Path = syn::parse_quote!(::hyperschema);
    for attribute in input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("schema"))
    {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                name = Some(meta.value()?.parse::<LitStr>()?);
            } else if meta.path.is_ident("compact") {
                compact = true;
            } else if meta.path.is_ident("crate") {
                krate = meta.value()?.parse::<LitStr>()?.parse()?;
            } else {
                return Err(meta.error("known here: name = \"@namespace/name\", compact, crate = \"path\""));
            }
            Ok(())
        })?;
    }
    let wanted = "a Record says its name: #[schema(name = \"@namespace/name\")]";
    let name = name.ok_or_else(|| Error::new(input.ident.span(), wanted))?;
    let text = name.value();
    let parts = text.strip_prefix('@').and_then(|text| text.split_once('/'));
    match parts {
        Some((namespace, rest)) if !namespace.is_empty() && !rest.is_empty() && !rest.contains('/') => {
            Ok(OfStruct { name, compact, krate })
        }
        _ => Err(Error::new(name.span(), wanted)),
    }
}

fn of_field(field: &syn::Field) -> Result<OfField, Error> {
    let mut of = OfField::default();
    for attribute in field
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("schema"))
    {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                of.name = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("type") {
                of.type_name = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("optional") {
                of.optional = true;
            } else if meta.path.is_ident("inline") {
                of.inline = true;
            } else {
                return Err(meta.error("known here: name = \"…\", type = \"…\", optional, inline"));
            }
            Ok(())
        })?;
    }
    Ok(of)
}

/// `public_key` as npm's schemas write it: `publicKey`.
fn camel_case(name: &str) -> String {
    let mut words = name.trim_start_matches("r#").split('_');
    let mut camel = words.next().unwrap_or_default().to_owned();
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}
