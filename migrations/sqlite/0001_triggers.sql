-- Change capture: whatever statement changes a file's rows, the file is logged.
--
-- REPLACE deletes the rows in its way without firing their DELETE triggers (unless
-- recursive_triggers is on), so the BEFORE triggers of documents log the files that are about to be
-- displaced. A child in the way of another belongs to the new row's file, which is logged anyway.
-- A child without a document belongs to no file; the document that adopts it is logged by its own
-- triggers. No trigger body has an OR clause, and quiet is compared with IS NOT, so that a missing
-- log_state row means logging, never silence.

CREATE TRIGGER documents_before_insert BEFORE INSERT ON documents
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT project_id, path FROM documents WHERE id = NEW.id;
    INSERT INTO touched SELECT project_id, path FROM documents
    WHERE project_id = NEW.project_id AND path = NEW.path;
END;

CREATE TRIGGER documents_after_insert AFTER INSERT ON documents
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched VALUES (NEW.project_id, NEW.path);
END;

CREATE TRIGGER documents_before_update BEFORE UPDATE ON documents
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT project_id, path FROM documents
    WHERE id = NEW.id AND id IS NOT OLD.id;
    INSERT INTO touched SELECT project_id, path FROM documents
    WHERE project_id = NEW.project_id AND path = NEW.path AND id IS NOT OLD.id;
END;

CREATE TRIGGER documents_after_update AFTER UPDATE ON documents
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT OLD.project_id, OLD.path
    WHERE OLD.project_id IS NOT NEW.project_id OR OLD.path IS NOT NEW.path;
    INSERT INTO touched VALUES (NEW.project_id, NEW.path);
END;

CREATE TRIGGER documents_after_delete AFTER DELETE ON documents
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched VALUES (OLD.project_id, OLD.path);
END;

CREATE TRIGGER functions_after_insert AFTER INSERT ON functions
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT project_id, path FROM documents WHERE id = NEW.document_id;
END;

CREATE TRIGGER functions_after_update AFTER UPDATE ON functions
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT project_id, path FROM documents WHERE id = NEW.document_id;
    INSERT INTO touched SELECT project_id, path FROM documents
    WHERE id = OLD.document_id AND OLD.document_id IS NOT NEW.document_id;
END;

CREATE TRIGGER functions_after_delete AFTER DELETE ON functions
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT project_id, path FROM documents WHERE id = OLD.document_id;
END;

CREATE TRIGGER classes_after_insert AFTER INSERT ON classes
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT project_id, path FROM documents WHERE id = NEW.document_id;
END;

CREATE TRIGGER classes_after_update AFTER UPDATE ON classes
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT project_id, path FROM documents WHERE id = NEW.document_id;
    INSERT INTO touched SELECT project_id, path FROM documents
    WHERE id = OLD.document_id AND OLD.document_id IS NOT NEW.document_id;
END;

CREATE TRIGGER classes_after_delete AFTER DELETE ON classes
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT project_id, path FROM documents WHERE id = OLD.document_id;
END;

CREATE TRIGGER methods_after_insert AFTER INSERT ON methods
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT project_id, path FROM documents WHERE id = NEW.document_id;
END;

CREATE TRIGGER methods_after_update AFTER UPDATE ON methods
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT project_id, path FROM documents WHERE id = NEW.document_id;
    INSERT INTO touched SELECT project_id, path FROM documents
    WHERE id = OLD.document_id AND OLD.document_id IS NOT NEW.document_id;
END;

CREATE TRIGGER methods_after_delete AFTER DELETE ON methods
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT project_id, path FROM documents WHERE id = OLD.document_id;
END;

CREATE TRIGGER reference_docs_after_insert AFTER INSERT ON reference_docs
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT project_id, path FROM documents WHERE id = NEW.document_id;
END;

CREATE TRIGGER reference_docs_after_update AFTER UPDATE ON reference_docs
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT project_id, path FROM documents WHERE id = NEW.document_id;
    INSERT INTO touched SELECT project_id, path FROM documents
    WHERE id = OLD.document_id AND OLD.document_id IS NOT NEW.document_id;
END;

CREATE TRIGGER reference_docs_after_delete AFTER DELETE ON reference_docs
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT project_id, path FROM documents WHERE id = OLD.document_id;
END;

CREATE TRIGGER change_records_after_insert AFTER INSERT ON change_records
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT project_id, path FROM documents WHERE id = NEW.document_id;
END;

CREATE TRIGGER change_records_after_update AFTER UPDATE ON change_records
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT project_id, path FROM documents WHERE id = NEW.document_id;
    INSERT INTO touched SELECT project_id, path FROM documents
    WHERE id = OLD.document_id AND OLD.document_id IS NOT NEW.document_id;
END;

CREATE TRIGGER change_records_after_delete AFTER DELETE ON change_records
WHEN (SELECT quiet FROM log_state) IS NOT 1
BEGIN
    INSERT INTO touched SELECT project_id, path FROM documents WHERE id = OLD.document_id;
END;
