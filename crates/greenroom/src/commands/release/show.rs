//! One release as a card: contents, needs, readiness, stages, decisions.

use greenroom_api::views::{Release, ReleaseIn};
use greenroom_domain::decision::DecisionRule;
use greenroom_domain::release::plan::{Mode, Stage};
use greenroom_domain::time::Share;

use crate::output::{Page, Paint, cell, instant};
use crate::show::{self, list, state, state_cell, word};

/// All of it.
pub fn release(page: &mut Page, release: &Release) {
    brief(page, release);
    contents(page, release);
    page.heading("Decisions");
    show::decisions(page, &release.decisions);
    if !release.spec.decisions.is_empty() {
        let asked = release.spec.decisions.iter().map(|DecisionRule { role, quorum }| if *quorum == 1 { role.to_string() } else { format!("{quorum} × {role}") });
        page.line(Paint::Dim, format!("asked of: {}", list(asked)));
    }
}

/// Just planned: where it stands, and where to look at what it brings.
pub fn planned(page: &mut Page, release: &Release) {
    brief(page, release);
    page.blank();
    page.pieces(&[(Paint::Accent, "→ "), (Paint::Plain, &format!("greenroom release show {}: what it brings, and who decided", release.name))]);
}

/// Where it stands: what one wants to see after doing something to it.
pub fn brief(page: &mut Page, release: &Release) {
    let spec = &release.spec;
    let (mark, paint) = state(&release.state);
    page.pieces(&[
        (Paint::Strong, &format!("{} #{}", release.name, release.number)),
        (Paint::Plain, &spec.title.as_ref().map(|t| format!("  {t}")).unwrap_or_default()),
        (paint, &format!("  {mark} {}", release.state)),
    ]);
    page.fields(&[
        ("owner", spec.owner.clone().unwrap_or_default()),
        ("written by", list(&release.authors)),
        ("starts", mode(spec.mode)),
        ("expires", spec.expires.map(instant).unwrap_or_default()),
        ("waiting costs", spec.cost_of_delay.as_ref().map(|c| format!("{} {} a week", c.per_week, c.currency)).unwrap_or_default()),
    ]);
    for environment in &release.environments {
        inside(page, release, environment);
    }
}

/// Readiness, without what stands beside or below it.
fn headline(inside: &ReleaseIn) -> String {
    let said = |part: &&str| *part != inside.state && inside.missing.iter().all(|reason| reason.message != **part);
    inside.headline.split("; ").filter(said).collect::<Vec<_>>().join("; ")
}

fn inside(page: &mut Page, release: &Release, inside: &ReleaseIn) {
    let (mark, paint) = state(&inside.state);
    page.blank();
    page.pieces(&[(Paint::Strong, &format!("In {}", inside.environment)), (paint, &format!("  {mark} {}", inside.state)), (Paint::Plain, &format!("  {}", headline(inside)))]);
    page.fields(&[("serves", inside.serves.clone().unwrap_or_else(|| "nobody".to_owned()))]);
    page.reasons(2, &inside.missing);
    inside.notes.iter().for_each(|note| page.line(Paint::Warn, format!("  note: {note}")));
    if !inside.refused.is_empty() {
        page.line(Paint::Plain, "  it tried to start or grow by itself and was refused:");
        page.reasons(4, &inside.refused);
    }
    if !inside.needs.is_empty() {
        page.blank();
        let rows = inside.needs.iter().map(|n| {
            let runs = list(n.by.iter().map(|p| format!("{} runs {}", p.target, p.runs.as_ref().map_or("nothing", |v| v.as_str()))));
            vec![cell(format!("{}>={}", n.service, n.floor)), state_cell(&n.status), cell(runs), cell(n.why.as_deref().unwrap_or_default())]
        });
        page.table(&["NEEDS", "", "BY", "WHY"], rows.collect(), "");
    }
    page.blank();
    let at = inside.stage.as_ref().and_then(|s| release.spec.stages.iter().position(|x| x.name == *s));
    let whole = matches!(inside.state.as_str(), "exposed" | "closed");
    let rows = release.spec.stages.iter().enumerate().map(|(i, stage)| {
        let (mark, paint) = match at {
            _ if whole => ("✔", Paint::Good),
            Some(here) if i < here => ("✔", Paint::Good),
            Some(here) if i == here => ("▶", Paint::Accent),
            _ => ("", Paint::Plain),
        };
        let next = stage.dwell.map_or_else(|| "the next one when a person says so".to_owned(), |t| format!("the next one after {t}"));
        // what is behind has no next
        let last = i + 1 == release.spec.stages.len() || whole || at.is_some_and(|here| i < here);
        vec![cell(mark).paint(paint), cell(&stage.name), cell(audience(stage)), cell(if last { String::new() } else { next })]
    });
    page.table(&["", "STAGE", "SERVES", "THEN"], rows.collect(), "no stages");
}

fn contents(page: &mut Page, release: &Release) {
    let spec = &release.spec;
    page.heading("Contents");
    if !spec.features.is_empty() {
        let rows = spec.features.iter().map(|f| vec![cell(&f.key), cell(&f.variant), cell(word(&f.withdraw_safety))]);
        page.table(&["FEATURE", "VARIANT", "WITHDRAWAL"], rows.collect(), "");
    }
    if !spec.services.is_empty() {
        page.line(Paint::Plain, format!("unflagged: {}", list(&spec.services)));
    }
    if !spec.not.is_empty() {
        page.line(Paint::Plain, format!("never with: {}", list(&spec.not)));
    }
    let contents = &release.contents;
    if !contents.services.is_empty() {
        page.blank();
        let rows = contents.services.iter().map(|s| {
            let from = s.from.as_ref().map_or_else(|| s.to.to_string(), |from| if *from == s.to { s.to.to_string() } else { format!("{from} → {}", s.to) });
            let paint = if s.change == "unchanged" { Paint::Dim } else { Paint::Plain };
            vec![
                cell(&s.service).paint(paint),
                cell(&s.change).paint(paint),
                cell(from).paint(paint),
                cell(list(s.components.iter().map(|c| format!("{} {}", c.component, c.change)))).paint(paint),
            ]
        });
        page.table(&["SERVICE", "", "VERSION", "COMPONENTS"], rows.collect(), "");
    }
    if !contents.changes.is_empty() {
        page.blank();
        let rows = contents
            .changes
            .iter()
            .map(|c| vec![cell(&c.service), cell(&c.version), cell(c.commit.chars().take(10).collect::<String>()), cell(&c.summary), cell(list(&c.work_items))]);
        page.table(&["CHANGES IN", "VERSION", "COMMIT", "SUMMARY", "FOR"], rows.collect(), "");
    }
    if !contents.requirements.is_empty() {
        page.blank();
        let rows = contents.requirements.iter().map(|r| {
            let mark = if r.confirmed { cell("✔ confirmed").paint(Paint::Good) } else { cell("✖ not confirmed").paint(Paint::Bad) };
            vec![cell(&r.requirement), mark, cell(list(&r.by))]
        });
        page.table(&["REQUIREMENT", "", "BY"], rows.collect(), "");
    }
}

fn mode(mode: Mode) -> String {
    match mode {
        Mode::Manual => "when a person says so".to_owned(),
        Mode::OnDeploy => "by itself, once everything it needs is there".to_owned(),
        Mode::Scheduled(at) => format!("by itself at {}, if everything still holds then", instant(at)),
    }
}

fn audience(stage: &Stage) -> String {
    match (&stage.cohort, stage.share == Share::ALL) {
        (None, true) => "everyone".to_owned(),
        (None, false) => format!("{} of everyone", stage.share),
        (Some(cohort), true) => format!("all of {cohort}"),
        (Some(cohort), false) => format!("{} of {cohort}", stage.share),
    }
}
