-- The tables as a person asks for them.

CREATE VIEW v_files AS
SELECT
    p.name AS project,
    d.path,
    d.language,
    d.document_type AS type,
    d.size_bytes AS size,
    d.last_modified AS modified,
    d.extraction_timestamp AS extracted,
    (SELECT count(*) FROM functions f WHERE f.document_id = d.id) AS functions,
    (SELECT count(*) FROM classes c WHERE c.document_id = d.id) AS classes,
    (SELECT count(*) FROM methods m WHERE m.document_id = d.id) AS methods,
    (SELECT count(*) FROM reference_docs r WHERE r.document_id = d.id) AS "references",
    d.intent,
    d.digest
FROM documents d
JOIN projects p ON p.id = d.project_id;

CREATE VIEW v_functions AS
SELECT
    p.name AS project,
    d.path,
    NULL AS class,
    f.name,
    f.parameters,
    f.line_start AS first_line,
    f.line_end AS last_line,
    f.intent
FROM functions f
JOIN documents d ON d.id = f.document_id
JOIN projects p ON p.id = d.project_id
UNION ALL
SELECT p.name, d.path, c.name, m.name, m.parameters, m.line_start, m.line_end, m.intent
FROM methods m
LEFT JOIN classes c ON c.document_id = m.document_id AND c.ordinal = m.class_ordinal
JOIN documents d ON d.id = m.document_id
JOIN projects p ON p.id = d.project_id;

CREATE VIEW v_classes AS
SELECT
    p.name AS project,
    d.path,
    c.name,
    (
        SELECT count(*) FROM methods m
        WHERE m.document_id = c.document_id AND m.class_ordinal = c.ordinal
    ) AS methods,
    c.line_start AS first_line,
    c.line_end AS last_line,
    c.intent
FROM classes c
JOIN documents d ON d.id = c.document_id
JOIN projects p ON p.id = d.project_id;

CREATE VIEW v_references AS
SELECT p.name AS project, d.path, r.document
FROM reference_docs r
JOIN documents d ON d.id = r.document_id
JOIN projects p ON p.id = d.project_id;
