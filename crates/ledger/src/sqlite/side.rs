//! The writes to side tables, one statement each.

use rusqlite::{Connection, params};

use super::answers;
use crate::batch::SideWrite;

/// Does one write inside the caller's transaction.
pub(super) fn apply(conn: &Connection, write: &SideWrite, log: &mut answers::Log, changes: &mut answers::Changes) -> rusqlite::Result<()> {
    match write {
        SideWrite::Answer(answer) => log.keep(conn, answer, changes),
        SideWrite::PruneAnswers { before } => answers::prune(conn, *before, changes),
        SideWrite::Person { person, profile } => run(conn, "INSERT OR REPLACE INTO person (person, profile) VALUES (?1, ?2)", params![person, profile]),
        SideWrite::ForgetPerson { person } => run(conn, "DELETE FROM person WHERE person = ?1", params![person]),
        SideWrite::Credential { person, hash } => run(conn, "INSERT OR REPLACE INTO credential (person, hash) VALUES (?1, ?2)", params![person, hash]),
        SideWrite::ForgetCredential { person } => run(conn, "DELETE FROM credential WHERE person = ?1", params![person]),
        SideWrite::Session(session) => run(
            conn,
            "INSERT OR REPLACE INTO session (id, person, created, expires, body)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![session.id.0, session.person, session.created, session.expires, session.body],
        ),
        SideWrite::EndSession { id } => run(conn, "DELETE FROM session WHERE id = ?1", params![id.0]),
        SideWrite::EndSessionsOf { person } => run(conn, "DELETE FROM session WHERE person = ?1", params![person]),
        SideWrite::PruneSessions { expired_before } => run(conn, "DELETE FROM session WHERE expires < ?1", params![expired_before]),
        SideWrite::Seal(sealed) => run(conn, "INSERT OR REPLACE INTO sealed (hash, nonce, content) VALUES (?1, ?2, ?3)", params![sealed.hash.0, sealed.nonce, sealed.content]),
        SideWrite::Erase { hash } => run(conn, "DELETE FROM sealed WHERE hash = ?1", params![hash.0]),
        SideWrite::CutAnswers { keep } => run(conn, "UPDATE answer SET response = substr(response, 1, ?1) WHERE length(response) > ?1", params![keep]),
        SideWrite::Usage(usage) => run(
            conn,
            "INSERT INTO usage (day, environment, feature, variant, build, count)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE SET count = count + excluded.count",
            params![usage.day, usage.environment, usage.feature, usage.variant, usage.build, i64::try_from(usage.count).unwrap_or(i64::MAX)],
        ),
        SideWrite::PruneUsage { before_day } => run(conn, "DELETE FROM usage WHERE day < ?1", params![before_day]),
        SideWrite::Enqueue(row) => run(conn, "INSERT OR REPLACE INTO queue (queue, id, due, body) VALUES (?1, ?2, ?3, ?4)", params![row.queue, row.id, row.due, row.body]),
        SideWrite::Dequeue { queue, id } => run(conn, "DELETE FROM queue WHERE queue = ?1 AND id = ?2", params![queue, id]),
    }
}

fn run(conn: &Connection, sql: &str, values: impl rusqlite::Params) -> rusqlite::Result<()> {
    conn.prepare_cached(sql)?.execute(values).map(drop)
}
