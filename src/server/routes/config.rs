//! `/v1/config/reload`: reading the configuration again.

use axum::http::Method;

use super::super::call::Call;
use super::super::problem::Problem;
use super::super::reply::Reply;
use super::super::state::State;
use super::super::table::{Access, Action, Answers, Route, schema};
use super::caches::Nothing;
use crate::config::Reload;
use crate::error::{Error, ErrorKind};

pub(in super::super) static RELOAD: Route = Route {
    method: Method::POST,
    path: "/v1/config/reload",
    doc: "Reads the configuration files again, as SIGHUP does, and says what changed and what waits \
          for a restart. If anything in them is wrong, nothing changes.",
    access: Access::Change,
    parameters: &[],
    body: Some(schema::<Nothing>),
    answer: Answers::Json(schema::<Reload>),
    action: Action::Work(reload),
};

fn reload(state: &State, call: &Call) -> Result<Reply, Problem> {
    let Nothing {} = call.json()?;
    let Some(config) = &state.served.config else {
        let message = "this server was set up in code, and has no configuration to read again";
        return Err(Error::new(ErrorKind::NotFound, message).into());
    };
    Reply::json(&config.reload()?)
}
