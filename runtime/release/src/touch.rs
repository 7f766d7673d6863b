//! A new link.

use app::Link;
use corestore::Corestore;
use hyperdrive::Hyperdrive;

use crate::ReleaseError;

/// Makes a drive whose secret key stays in the store, and returns its link. Needs no writer's lock: a new key pair is in nobody's
/// way.
///
/// # Errors
/// If the store cannot be written.
pub async fn touch(store: &Corestore) -> Result<Link, ReleaseError> {
    let name = hex::encode(rand::random::<[u8; 16]>());
    let drive = Hyperdrive::create_with(store, store.create_key_pair(&name)?).await?;
    Ok(Link::plain(drive.key()))
}
