//! What fuzz targets need beyond the API: the hole punching payload without the box it travels in. No part of the API.

use base::wire::DecodeError;

use crate::hyper::secure_payload::HolepunchPayload;

/// Decodes what a hole punching payload holds once it is opened.
///
/// # Errors
/// If it is malformed.
pub fn decode_holepunch(bytes: &[u8]) -> Result<HolepunchPayload, DecodeError> {
    HolepunchPayload::decode(bytes)
}

/// The bytes of a hole punching payload before it is sealed.
pub fn encode_holepunch(payload: &HolepunchPayload) -> Vec<u8> {
    payload.encode()
}
