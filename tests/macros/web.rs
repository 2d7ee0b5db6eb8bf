//! Handlers of web frameworks, asked by requests through a router.

use std::sync::Arc;

use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, HttpResponse, ResponseError, web};
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use dlock::{Error, Locker, locked};
use tower::ServiceExt as _;

use super::{is_held, memory};

#[derive(Clone)]
struct Shop {
    locker: Locker,
}

struct Failed(Error);

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed(error)
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let busy = self.0.is_timeout();
        let status = if busy { StatusCode::CONFLICT } else { StatusCode::SERVICE_UNAVAILABLE };
        (status, self.0.to_string()).into_response()
    }
}

/// A pattern around what is extracted.
#[locked(key = "export:<id>", locker = shop.locker, timeout = 0)]
async fn export(State(shop): State<Shop>, Path(id): Path<u32>) -> Result<String, Failed> {
    assert!(is_held(&memory("web-axum"), format!("export:{id}")));
    Ok(format!("exported {id}"))
}

#[derive(serde::Deserialize)]
struct Wanted {
    name: String,
}

/// Checked by axum to be a handler.
#[axum::debug_handler]
#[locked(key = "named:<wanted.name>", locker = shop.locker, timeout = 0)]
async fn named(State(shop): State<Shop>, Query(wanted): Query<Wanted>) -> Result<String, Failed> {
    Ok(wanted.name)
}

/// The other way round, which a guard needs: the check has a copy of the body, without the lock.
#[locked(
    key = "plain:<id>",
    locker = shop.locker,
    timeout = 0,
    guard = lock,
    on_busy = StatusCode::CONFLICT,
    on_error = |_| StatusCode::SERVICE_UNAVAILABLE
)]
#[axum::debug_handler]
async fn plain(State(shop): State<Shop>, Path(id): Path<u32>) -> StatusCode {
    if lock.is_lost() { StatusCode::GONE } else { StatusCode::OK }
}

#[tokio::test]
async fn axum_handlers() {
    let locker = memory("web-axum");
    let router = Router::new()
        .route("/export/{id}", post(export))
        .route("/named", get(named))
        .route("/plain/{id}", get(plain))
        .with_state(Shop { locker: locker.clone() });
    let ask = async |method: &str, path: &str| {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap().status()
    };
    for (method, path, key) in [
        ("POST", "/export/7", "export:7"),
        ("GET", "/named?name=Ada", "named:Ada"),
        ("GET", "/plain/3", "plain:3"),
    ] {
        assert_eq!(ask(method, path).await, StatusCode::OK, "{path}");
        let guard = locker.lock(key).acquire().await.unwrap();
        assert_eq!(ask(method, path).await, StatusCode::CONFLICT, "{path}");
        guard.release().await.unwrap();
        assert_eq!(ask(method, path).await, StatusCode::OK, "{path}");
    }
    locker.close().await;
    assert_eq!(ask("POST", "/export/7").await, StatusCode::SERVICE_UNAVAILABLE);
}

impl std::fmt::Debug for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for Failed {
    fn error_response(&self) -> HttpResponse {
        match self.0.is_timeout() {
            true => HttpResponse::Conflict().finish(),
            false => HttpResponse::ServiceUnavailable().finish(),
        }
    }
}

/// Its future is not `Send`, and need not be.
#[locked(key = "export:<id>", locker = locker.get_ref(), timeout = 0)]
async fn actix_export(
    locker: web::Data<Locker>,
    id: web::Path<u32>,
) -> Result<HttpResponse, Failed> {
    let not_send = std::rc::Rc::new(id.into_inner());
    tokio::task::yield_now().await;
    Ok(HttpResponse::Ok().body(not_send.to_string()))
}

#[actix_web::post("/attribute/{id}")]
#[locked(key = "export:<id>", locker = locker.get_ref(), timeout = 0)]
async fn actix_attribute(locker: web::Data<Locker>, id: web::Path<u32>) -> Result<String, Failed> {
    Ok("done".to_owned())
}

#[actix_web::test]
async fn actix_handlers() {
    let locker = memory("web-actix");
    let app = App::new()
        .app_data(web::Data::from(Arc::new(locker.clone())))
        .service(actix_attribute)
        .route("/export/{id}", web::post().to(actix_export));
    let app = init_service(app).await;
    let ask = async |path: &str| {
        let request = TestRequest::post().uri(path).to_request();
        call_service(&app, request).await.status().as_u16()
    };
    for path in ["/export/7", "/attribute/7"] {
        assert_eq!(ask(path).await, 200, "{path}");
        let guard = locker.lock("export:7").acquire().await.unwrap();
        assert_eq!(ask(path).await, 409, "{path}");
        guard.release().await.unwrap();
        assert_eq!(ask(path).await, 200, "{path}");
    }
}

#[locked(key = "anyhow:<id>", locker = at, timeout = 0)]
async fn with_anyhow(at: &Locker, id: u32) -> anyhow::Result<u32> {
    anyhow::ensure!(id > 0, "nothing to do");
    Ok(id)
}

#[tokio::test]
async fn anyhow_carries_the_error() {
    let at = memory("web-anyhow");
    assert_eq!(with_anyhow(&at, 7).await.unwrap(), 7);
    assert_eq!(with_anyhow(&at, 0).await.unwrap_err().to_string(), "nothing to do");
    let guard = at.lock("anyhow:7").acquire().await.unwrap();
    let error = with_anyhow(&at, 7).await.unwrap_err();
    assert!(error.downcast_ref::<Error>().is_some_and(Error::is_timeout), "{error}");
    guard.release().await.unwrap();
}
