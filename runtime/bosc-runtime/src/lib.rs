//! What an app embeds: pear links, storage folders, and the updater that follows a drive and swaps the bundle.
