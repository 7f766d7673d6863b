//! Corestore: many named cores in one storage folder, replicated over one connection.
