//! Whether the driver index agrees with the rides.

use actix_web::{HttpRequest, HttpResponse, http::header::LOCATION, web};
use entity::{Finding, Ride, Scan, value::Id};
use usecase::consistency::Begun;

use crate::{
    Api,
    dto::consistency::{DriverCheckView, RepairView, RideCheckView, ScanView},
    extract::{PathDriver, PathId, Query},
    problem::{Answer, Problem},
};

pub(super) async fn ride(api: web::Data<Api>, id: PathId<Ride>) -> Answer {
    let now = api.clock.now();
    let found = api.consistency.check_ride.run(id.0).await?.ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok().json(RideCheckView::new(id.0.to_string(), &found, now)))
}

pub(super) async fn driver(api: web::Data<Api>, id: PathDriver, request: HttpRequest) -> Answer {
    let query = Query::of(&request, &["limit", "cursor"])?;
    let now = api.clock.now();
    let found = api.consistency.check_driver.run(&id.0, query.cursor()?, query.limit()?).await?;
    Ok(HttpResponse::Ok().json(DriverCheckView::new(id.0.to_string(), &found, now)))
}

pub(super) async fn repair_ride(api: web::Data<Api>, id: PathId<Ride>, request: HttpRequest) -> Answer {
    let dry_run = Query::of(&request, &["dry_run"])?.dry_run()?;
    let found = api.consistency.check_ride.run(id.0).await?.ok_or_else(Problem::not_found)?;
    let rows = api.consistency.repair.run(&found.mismatches(), dry_run).await?;
    Ok(HttpResponse::Ok().json(RepairView::new(dry_run, &rows, None)))
}

pub(super) async fn repair_driver(api: web::Data<Api>, id: PathDriver, request: HttpRequest) -> Answer {
    let query = Query::of(&request, &["limit", "cursor", "dry_run"])?;
    let dry_run = query.dry_run()?;
    let found = api.consistency.check_driver.run(&id.0, query.cursor()?, query.limit()?).await?;
    let rows = api.consistency.repair.run(&found.mismatches(), dry_run).await?;
    Ok(HttpResponse::Ok().json(RepairView::new(dry_run, &rows, found.next.map(|id| id.to_string()))))
}

pub(super) async fn begin_scan(api: web::Data<Api>) -> Answer {
    Ok(match api.consistency.scanner.begin().await? {
        Begun::New(scan) => {
            tracing::info!(id = %scan.id, "an operator began a scan");
            let location = (LOCATION, format!("/internal/v1/consistency/scans/{}", scan.id));
            HttpResponse::Accepted().insert_header(location).json(ScanView::new(&scan, &[], None))
        }
        Begun::Running(scan) => HttpResponse::Ok().json(ScanView::new(&scan, &[], None)),
    })
}

pub(super) async fn scan(api: web::Data<Api>, id: PathId<Scan>, request: HttpRequest) -> Answer {
    let query = Query::of(&request, &["limit", "cursor"])?;
    let (limit, after) = (query.limit()?, after(query.cursor()?));
    let conn = || api.shards.read(Scan::SHARD);
    let scan = Scan::find(conn(), id.0).await?.ok_or_else(Problem::not_found)?;
    let findings = Finding::page(conn(), &scan, after, limit).await?;
    let next = findings.last().map(|last| last.number).filter(|_| findings.len() as u64 == limit);
    Ok(HttpResponse::Ok().json(ScanView::new(&scan, &findings, next)))
}

pub(super) async fn repair_scan(api: web::Data<Api>, id: PathId<Scan>, request: HttpRequest) -> Answer {
    let query = Query::of(&request, &["cursor", "dry_run"])?;
    let (dry_run, after) = (query.dry_run()?, after(query.cursor()?));
    let repaired = api.consistency.repair_scan.run(id.0, after, dry_run).await?.ok_or_else(Problem::not_found)?;
    Ok(HttpResponse::Ok().json(RepairView::of_scan(dry_run, &repaired)))
}

/// Findings are numbered.
fn after(cursor: Option<Id<Finding>>) -> i64 {
    cursor.map_or(0, Id::value)
}
