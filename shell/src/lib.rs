//! The desktop host: a window whose page comes from a drive, and the bridge between page and updater.
