-- Projects, their files, and what is in each file.
--
-- A child row carries the id of its document and its place in the file, and is stored in that
-- order: reading a file is one range of each table, reading a project is one pass over it.
-- Lists are JSON arrays of strings; NULL is the empty list. Instants are RFC 3339, UTC, with nine
-- fractional digits, so that text sorts as time does.

CREATE TABLE projects (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    root TEXT
) STRICT;

-- AUTOINCREMENT: a new file must never get the id of a deleted one, whose rows may still be there
-- if they were deleted by a program that leaves foreign keys off.
CREATE TABLE documents (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id INTEGER NOT NULL
        REFERENCES projects (id) ON DELETE CASCADE ON UPDATE CASCADE,
    path TEXT NOT NULL,
    language TEXT,
    document_type TEXT NOT NULL DEFAULT 'Code'
        CHECK (document_type IN ('Code', 'Markdown', 'Header', 'Config')),
    size_bytes INTEGER CHECK (size_bytes >= 0),
    digest TEXT,
    last_modified TEXT,
    extraction_timestamp TEXT,
    intent TEXT,
    design_principles TEXT,
    constraints TEXT,
    UNIQUE (project_id, path)
) STRICT;

CREATE TABLE functions (
    document_id INTEGER NOT NULL
        REFERENCES documents (id) ON DELETE CASCADE ON UPDATE CASCADE,
    ordinal INTEGER NOT NULL,
    name TEXT,
    line_start INTEGER,
    line_end INTEGER,
    parameters TEXT,
    intent TEXT,
    design_principles TEXT,
    implementation_details TEXT,
    design_decisions TEXT,
    PRIMARY KEY (document_id, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE classes (
    document_id INTEGER NOT NULL
        REFERENCES documents (id) ON DELETE CASCADE ON UPDATE CASCADE,
    ordinal INTEGER NOT NULL,
    name TEXT,
    line_start INTEGER,
    line_end INTEGER,
    intent TEXT,
    design_principles TEXT,
    implementation_details TEXT,
    design_decisions TEXT,
    PRIMARY KEY (document_id, ordinal)
) STRICT, WITHOUT ROWID;

-- `class_ordinal` is the ordinal of the method's class in the same document; `ordinal` counts the
-- methods of the document.
CREATE TABLE methods (
    document_id INTEGER NOT NULL
        REFERENCES documents (id) ON DELETE CASCADE ON UPDATE CASCADE,
    ordinal INTEGER NOT NULL,
    class_ordinal INTEGER NOT NULL,
    name TEXT,
    line_start INTEGER,
    line_end INTEGER,
    parameters TEXT,
    intent TEXT,
    design_principles TEXT,
    implementation_details TEXT,
    design_decisions TEXT,
    PRIMARY KEY (document_id, ordinal),
    FOREIGN KEY (document_id, class_ordinal)
        REFERENCES classes (document_id, ordinal) ON DELETE CASCADE ON UPDATE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE reference_docs (
    document_id INTEGER NOT NULL
        REFERENCES documents (id) ON DELETE CASCADE ON UPDATE CASCADE,
    ordinal INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (document_id, ordinal)
) STRICT, WITHOUT ROWID;

CREATE TABLE change_records (
    document_id INTEGER NOT NULL
        REFERENCES documents (id) ON DELETE CASCADE ON UPDATE CASCADE,
    ordinal INTEGER NOT NULL,
    timestamp TEXT,
    summary TEXT,
    details TEXT,
    PRIMARY KEY (document_id, ordinal)
) STRICT, WITHOUT ROWID;
