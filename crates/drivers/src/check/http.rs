//! One GET of the service's stable address.

use greenroom_domain::deployment::check::{HttpCheck, Outcome};
use greenroom_domain::time::Span;

use super::{CheckContext, Found, TEXT};

/// How much of an answer is looked at, and how much of it is kept.
const READ: usize = 1 << 20;
const KEPT: usize = 64 << 10;

pub(super) async fn run(check: &HttpCheck, timeout: Span, ctx: &CheckContext) -> Found {
    let Some(address) = ctx.endpoints.get(&ctx.service) else {
        return Found::error(format!("`{}` has no stable address in {}", ctx.service, ctx.environment));
    };
    let path = match ctx.words().expand(&check.path) {
        Ok(path) => path,
        Err(e) => return Found::error(e.to_string()),
    };
    let url = format!("http://{address}/{}", path.trim_start_matches('/'));
    let clock = std::time::Instant::now();
    match tokio::time::timeout(timeout.as_std(), get(&url)).await {
        Err(_) => Found::error(format!("no answer within {timeout}")),
        Ok(Err(why)) => Found::error(format!("cannot ask {address}: {why}")),
        Ok(Ok((status, body))) => {
            let took = Span::millis(i64::try_from(clock.elapsed().as_millis()).unwrap_or(i64::MAX));
            let (outcome, summary) = judge(check, status, &body, took);
            let mut kept = format!("GET {path}\nstatus {status}, {took}\n\n").into_bytes();
            kept.extend(body.iter().take(KEPT));
            Found { outcome, summary, evidence: vec![(TEXT, kept)] }
        }
    }
}

fn judge(check: &HttpCheck, status: u16, body: &[u8], took: Span) -> (Outcome, String) {
    if status != check.status {
        return (Outcome::Fail, format!("status {status}, wanted {}", check.status));
    }
    if let Some(text) = &check.contains
        && !String::from_utf8_lossy(body).contains(text.as_str())
    {
        return (Outcome::Fail, format!("status {status}, but the answer does not contain `{text}`"));
    }
    match check.within {
        Some(within) if took > within => (Outcome::Fail, format!("{took}, wanted {within}")),
        _ => (Outcome::Pass, format!("status {status}, {took}")),
    }
}

async fn get(url: &str) -> Result<(u16, Vec<u8>), String> {
    use crate::process::root_cause;
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build();
    let mut answer = client.map_err(|e| root_cause(&e))?.get(url).send().await.map_err(|e| root_cause(&e))?;
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await.map_err(|e| root_cause(&e))? {
        body.extend_from_slice(&piece);
        if body.len() >= READ {
            break;
        }
    }
    Ok((answer.status().as_u16(), body))
}
