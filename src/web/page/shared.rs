//! Pages that are rendered once for all who ask for the same at once, one after the
//! other: each looks through all definitions, and memory for one is enough.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::CONTENT_SECURITY_POLICY;
use axum::response::{Html, IntoResponse as _, Response};
use exporter_toolkit::hold;
use maud::Markup;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::POLICY;
use crate::polling::snapshot::Tenants;
use crate::web::WebState;
use crate::web::renderer::Renderer;

/// The pages that are being rendered or sent, and the state that they show; clones share them.
#[derive(Clone)]
pub(in crate::web) struct Pages {
    pub(super) state: WebState,
    /// One permit a page; `None`: no limit.
    slots: Option<Arc<Semaphore>>,
    renderer: Renderer,
    /// By what was asked for.
    asked: Arc<Mutex<HashMap<String, Weak<RenderedPage>>>>,
}

/// A page until it was sent to all who asked for it.
struct RenderedPage {
    /// It is being rendered: before that, it will show what is known then.
    begun: Arc<AtomicBool>,
    /// What it shows is no older than that.
    tenants: Weak<Tenants>,
    second: i64,
    /// `None`, if it could not be rendered.
    rendered: OnceCell<Option<(StatusCode, Bytes)>>,
    _slot: Option<OwnedSemaphorePermit>,
}

impl Pages {
    /// None yet, of `state`.
    pub(in crate::web) fn new(state: WebState) -> Self {
        let limit = state.max_requests.min(Semaphore::MAX_PERMITS);
        Self {
            state,
            slots: (limit > 0).then(|| Arc::new(Semaphore::new(limit))),
            renderer: Renderer::default(),
            asked: Arc::default(),
        }
    }

    /// The page that is asked for by `key`, which `render` makes.
    pub(super) async fn answer(
        &self,
        key: String,
        render: impl FnOnce(&WebState) -> (StatusCode, Markup) + Send + 'static,
    ) -> Response {
        let Some(page) = self.page(key) else {
            let reason = "too many pages at once, see --web.max-requests\n";
            return (StatusCode::SERVICE_UNAVAILABLE, reason).into_response();
        };
        let rendered = page.rendered.get_or_init(|| async {
            let (state, begun) = (self.state.clone(), Arc::clone(&page.begun));
            let work = move || {
                begun.store(true, Ordering::SeqCst);
                let (status, markup) = render(&state);
                (status, Bytes::from(markup.into_string()))
            };
            self.renderer.run(work).await
        });
        let Some((status, html)) = rendered.await.clone() else {
            tracing::error!("the status page could not be rendered");
            let reason = "the status page could not be rendered, see the log\n";
            return (StatusCode::INTERNAL_SERVER_ERROR, reason).into_response();
        };
        let policy = [(CONTENT_SECURITY_POLICY, POLICY)];
        hold((status, policy, Html(html)).into_response(), page)
    }

    /// The page that others ask for as well, or a new one if there is a slot.
    fn page(&self, key: String) -> Option<Arc<RenderedPage>> {
        let tenants = self.state.snapshot.read();
        let second = self.state.clock.wall().unix_millis().div_euclid(1000);
        // A map stays a map, whatever happened to who held it.
        let mut pages = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        pages.retain(|_, page| page.strong_count() > 0);
        let same = |page: &Arc<RenderedPage>| {
            let known = std::ptr::eq(page.tenants.as_ptr(), Arc::as_ptr(&tenants));
            (known && page.second == second) || !page.begun.load(Ordering::SeqCst)
        };
        if let Some(page) = pages.get(&key).and_then(Weak::upgrade).filter(same) {
            return Some(page);
        }
        let slot = match &self.slots {
            Some(slots) => Some(Arc::clone(slots).try_acquire_owned().ok()?),
            None => None,
        };
        let page = Arc::new(RenderedPage {
            begun: Arc::default(),
            tenants: Arc::downgrade(&tenants),
            second,
            rendered: OnceCell::new(),
            _slot: slot,
        });
        pages.insert(key, Arc::downgrade(&page));
        Some(page)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use maud::html;

    use super::*;
    use crate::web::tests::state;

    async fn ask(pages: &Pages, key: &str, rendered: &Arc<AtomicUsize>) -> Response {
        let rendered = Arc::clone(rendered);
        let render = move |_: &WebState| {
            rendered.fetch_add(1, Ordering::SeqCst);
            (StatusCode::OK, html! { p { "x" } })
        };
        pages.answer(key.to_owned(), render).await
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_the_same_at_once_shares_it() {
        let (pages, rendered) = (Pages::new(state()), Arc::default());
        let asked = (0..500).map(|_| ask(&pages, "/", &rendered));
        let answers = futures::future::join_all(asked).await;
        assert!(answers.iter().all(|answer| answer.status() == 200));
        assert_eq!(rendered.load(Ordering::SeqCst), 1);
        ask(&pages, "/?q=x", &rendered).await;
        assert_eq!(rendered.load(Ordering::SeqCst), 2, "another page");
        pages
            .state
            .snapshot
            .publish(crate::web::tests::tenant("fabrikam", &pages.state.clock));
        ask(&pages, "/", &rendered).await;
        assert_eq!(rendered.load(Ordering::SeqCst), 3, "there is news");
        drop(answers);
        ask(&pages, "/", &rendered).await;
        assert_eq!(rendered.load(Ordering::SeqCst), 4, "nothing is kept");
    }

    #[tokio::test]
    async fn different_pages_have_slots_until_they_were_sent() {
        let mut state = state();
        state.max_requests = 2;
        let (pages, rendered) = (Pages::new(state), Arc::default());
        let held = [
            ask(&pages, "/?q=1", &rendered).await,
            ask(&pages, "/?q=2", &rendered).await,
        ];
        let refused = ask(&pages, "/?q=3", &rendered).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(held);
        assert_eq!(ask(&pages, "/?q=3", &rendered).await.status(), 200);
    }

    #[tokio::test]
    async fn who_asks_before_it_is_begun_shares_it_whatever_happens_meanwhile() {
        let (pages, rendered) = (Pages::new(state()), Arc::default());
        // Another page's turn.
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let other = pages.renderer.clone();
        let turn = tokio::spawn(async move { other.run(move || gone.recv()).await });
        tokio::task::yield_now().await;
        let mut first = std::pin::pin!(ask(&pages, "/", &rendered));
        assert!(futures::poll!(first.as_mut()).is_pending());
        let view = crate::web::tests::tenant("fabrikam", &pages.state.clock);
        pages.state.snapshot.publish(view);
        let mut second = std::pin::pin!(ask(&pages, "/", &rendered));
        assert!(futures::poll!(second.as_mut()).is_pending());
        drop(go);
        let answers = futures::future::join(first, second).await;
        assert_eq!(
            (answers.0.status(), answers.1.status()),
            (StatusCode::OK, StatusCode::OK)
        );
        assert_eq!(rendered.load(Ordering::SeqCst), 1);
        assert!(turn.await.unwrap().is_some());
    }
}
