-- Times are milliseconds since 1970, UTC; NULL is the zero time. Documents
-- (JSON) hold what is only ever read as a whole; what is looked for is a column.
-- Columns that repeat a part of a document, so that it can be looked for, are
-- written with it and never read back: "repeats".

CREATE TABLE merge_request (
	id           INTEGER PRIMARY KEY,
	forge        TEXT    NOT NULL,
	project      INTEGER NOT NULL,
	number       INTEGER NOT NULL,
	path         TEXT    NOT NULL COLLATE NOCASE, -- repeats seen.snapshot; GitLab resolves paths without regard to case
	author       TEXT    NOT NULL,                -- repeats seen.snapshot: the username
	merge_commit TEXT    NOT NULL,                -- repeats seen.snapshot
	opening      INTEGER NOT NULL,
	why          TEXT    NOT NULL,
	wake         INTEGER NOT NULL,
	due_at       INTEGER,                         -- while leased, the lease's end: one column, so that the timer asks for one minimum
	lease        TEXT    NOT NULL,
	look_at      INTEGER,
	reading_at   INTEGER,
	again_at     INTEGER,
	forge_at     INTEGER,
	tries        INTEGER NOT NULL,
	chat_at      INTEGER,
	chat_tries   INTEGER NOT NULL,
	error        TEXT    NOT NULL,
	told         TEXT,
	UNIQUE (project, number, forge) -- in this order, to find a project's
) STRICT;

CREATE INDEX merge_request_why ON merge_request (why) WHERE why <> '';
CREATE INDEX merge_request_due ON merge_request (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX merge_request_path ON merge_request (path, number);
CREATE INDEX merge_request_merge_commit ON merge_request (merge_commit) WHERE merge_commit <> '';

-- Apart from merge_request, because a click and every renewed lease rewrite that
-- row, and what was read of the forge may be large.
CREATE TABLE seen (
	merge_request INTEGER PRIMARY KEY REFERENCES merge_request (id),
	snapshot      TEXT,
	contents      TEXT
) STRICT;

CREATE TABLE request (
	id            INTEGER PRIMARY KEY,
	merge_request INTEGER NOT NULL REFERENCES merge_request (id),
	seq           INTEGER NOT NULL,
	opening       INTEGER NOT NULL,
	head          TEXT    NOT NULL,
	target        TEXT    NOT NULL,
	state         TEXT    NOT NULL,
	cause         TEXT    NOT NULL,
	settled       INTEGER NOT NULL,
	dry           INTEGER NOT NULL,
	rule          TEXT    NOT NULL, -- repeats terms: the rule's name
	terms         TEXT    NOT NULL, -- the rule as it read
	policy_hash   TEXT    NOT NULL,
	panel         TEXT    NOT NULL,
	pipeline      TEXT,
	before        TEXT,
	opened_at     INTEGER,
	expires_at    INTEGER,
	decided_at    INTEGER,
	ended_at      INTEGER,
	approve_tried INTEGER,
	approve_done  INTEGER,
	merge_tried   INTEGER,
	merge_done    INTEGER,
	close_tried   INTEGER,
	close_done    INTEGER,
	retract_tried INTEGER,
	retract_done  INTEGER,
	note_tried    INTEGER,
	note_done     INTEGER,
	note_ref      TEXT    NOT NULL,
	note_shown    TEXT    NOT NULL,
	status_tried  INTEGER,
	status_done   INTEGER,
	status_shown  TEXT    NOT NULL,
	scheduled     INTEGER NOT NULL,
	blocked       TEXT    NOT NULL,
	answered      TEXT    NOT NULL,
	UNIQUE (merge_request, seq)
) STRICT;

-- Behind "at most one open request". An 'approved' that is the end counts as
-- open too: it is followed until the merge request is merged or moves on, and
-- moving on supersedes it before anything new opens.
CREATE UNIQUE INDEX request_open ON request (merge_request) WHERE state IN ('pending', 'approved', 'blocked');
CREATE INDEX request_unsettled ON request (merge_request, seq) WHERE settled = 0;
CREATE INDEX request_followed ON request (policy_hash, merge_request) WHERE state IN ('pending', 'approved', 'blocked', 'rejected');
CREATE INDEX request_head ON request (head);
-- For lists. Those that are open are in request_open: an approval writes no other.
CREATE INDEX request_ended ON request (state) WHERE state NOT IN ('pending', 'approved', 'blocked');
CREATE INDEX request_opened ON request (opened_at);

-- The audit log: appended to, and nothing else. Its head (number and hash of the
-- last entry) stands in meta, so that entries cut off at its end are missed.
-- (PRAGMA recursive_triggers is off, so REPLACE would delete without asking
-- log_no_delete; log_append stops it.)
CREATE TABLE log (
	number        INTEGER PRIMARY KEY,
	at            INTEGER NOT NULL,
	merge_request INTEGER REFERENCES merge_request (id), -- NULL: about none
	request       INTEGER REFERENCES request (id),
	kind          TEXT    NOT NULL,
	data          TEXT    NOT NULL,
	hash          TEXT    NOT NULL
) STRICT;

CREATE INDEX log_merge_request ON log (merge_request);
CREATE INDEX log_at ON log (at);

CREATE TRIGGER log_no_update BEFORE UPDATE ON log BEGIN
	SELECT RAISE(ABORT, 'the log is only ever appended to');
END;
CREATE TRIGGER log_no_delete BEFORE DELETE ON log BEGIN
	SELECT RAISE(ABORT, 'the log is only ever appended to');
END;
CREATE TRIGGER log_append BEFORE INSERT ON log
WHEN NEW.number <= (SELECT MAX(number) FROM log) BEGIN
	SELECT RAISE(ABORT, 'the log is only ever appended to');
END;

-- How merge requests came to be merged into branches that a rule covered.
CREATE TABLE landing (
	merge_request INTEGER PRIMARY KEY REFERENCES merge_request (id),
	at            INTEGER,
	around        TEXT    NOT NULL, -- why it went around the gate; '': it did not
	rule          TEXT    NOT NULL,
	entry         INTEGER           -- its number in the log
) STRICT;

CREATE INDEX landing_at ON landing (at, merge_request);
CREATE INDEX landing_around ON landing (at, merge_request, around) WHERE around <> '';

CREATE TABLE decision (
	id      INTEGER PRIMARY KEY, -- keeps the order in which they fell
	request INTEGER NOT NULL REFERENCES request (id),
	person  TEXT    NOT NULL,
	name    TEXT    NOT NULL,
	verdict TEXT    NOT NULL,
	reason  TEXT    NOT NULL,
	via     TEXT    NOT NULL,
	shown   TEXT    NOT NULL,
	void    INTEGER NOT NULL,
	at      INTEGER,
	entry   INTEGER, -- its number in the log
	UNIQUE (request, person) -- the first one stands
) STRICT;

CREATE TABLE claim (
	id            INTEGER PRIMARY KEY,
	merge_request INTEGER NOT NULL REFERENCES merge_request (id),
	message       TEXT    NOT NULL,
	person        TEXT    NOT NULL,
	action        TEXT    NOT NULL,
	reason        TEXT    NOT NULL,
	at            INTEGER,
	dry           INTEGER NOT NULL,
	origin        TEXT,
	ref           TEXT,
	recipient     TEXT    NOT NULL,
	evidence      TEXT    NOT NULL,
	refused       TEXT    NOT NULL
) STRICT;

CREATE INDEX claim_merge_request ON claim (merge_request);

CREATE TABLE message (
	key        TEXT    PRIMARY KEY,
	request    INTEGER NOT NULL REFERENCES request (id),
	kind       TEXT    NOT NULL,
	recipient  TEXT    NOT NULL,
	sent_as    TEXT    NOT NULL,
	ref        TEXT,
	shown      TEXT    NOT NULL,
	face       TEXT    NOT NULL,
	asked_at   INTEGER,
	reminded_at INTEGER,
	dry        INTEGER NOT NULL, -- repeats request.dry
	awaited    INTEGER NOT NULL, -- repeats what follows from the request: its recipient has yet to decide
	remind_at  INTEGER,          -- likewise: when they are to be reminded
	tried_at   INTEGER,
	not_before INTEGER,
	push_at    INTEGER,
	tries      INTEGER NOT NULL,
	told       TEXT    NOT NULL,
	said       TEXT    NOT NULL,
	gone       TEXT    NOT NULL,
	UNIQUE (request, kind, recipient)
) STRICT;

CREATE INDEX message_awaited ON message (recipient, dry, reminded_at, asked_at) WHERE awaited = 1;
CREATE INDEX message_remind ON message (dry, remind_at) WHERE remind_at IS NOT NULL;

-- Reminders that are not sent yet. Which requests one is about say the messages
-- that were reminded when it was made.
CREATE TABLE reminder (
	recipient TEXT    NOT NULL,
	dry       INTEGER NOT NULL, -- as the requests are
	key       TEXT    NOT NULL,
	made_at   INTEGER NOT NULL,
	due_at    INTEGER NOT NULL, -- while taken, when others may take it
	tries     INTEGER NOT NULL,
	PRIMARY KEY (recipient, dry) -- one at a time; a rehearsal's holds up no other
) STRICT, WITHOUT ROWID;

CREATE INDEX reminder_due ON reminder (due_at);

CREATE TABLE person (
	identity   TEXT    PRIMARY KEY, -- directory:kind:value
	id         TEXT    NOT NULL,    -- '': the directory does not know them
	first      TEXT    NOT NULL,    -- the first id there was; '': none yet
	name       TEXT    NOT NULL,
	expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- What was in force when. A policy may come back, so the hash is not the key.
CREATE TABLE policy (
	id    INTEGER PRIMARY KEY,
	hash  TEXT    NOT NULL,
	text  TEXT    NOT NULL,
	dry   INTEGER NOT NULL, -- in a dry run
	since INTEGER NOT NULL
) STRICT;

CREATE INDEX policy_since ON policy (since);

CREATE TABLE meta (
	key   TEXT PRIMARY KEY,
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
