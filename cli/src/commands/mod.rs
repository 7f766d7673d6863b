//! One file per command.

pub(crate) mod build;
pub(crate) mod changelog;
pub(crate) mod check;
pub(crate) mod dev;
pub(crate) mod dht;
pub(crate) mod doctor;
pub(crate) mod dump;
pub(crate) mod info;
pub(crate) mod init;
pub(crate) mod make;
pub(crate) mod multisig;
pub(crate) mod provision;
pub(crate) mod relay;
pub(crate) mod release;
pub(crate) mod seed;
pub(crate) mod shell;
pub(crate) mod stage;
pub(crate) mod touch;
pub(crate) mod version;
