-- Which pruning was the last one: drawn anew each time, so that a copy that is put back and pruned up
-- to the same sequence is told from the log that it was taken of.
ALTER TABLE log_state ADD COLUMN pruned_nonce INTEGER NOT NULL DEFAULT 0;

UPDATE log_state SET pruned_nonce = random();
