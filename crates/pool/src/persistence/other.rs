//! Classes that rules ask for instead of the pool's own (`connection.setPersistence`).
//!
//! A build of the pool prepares such a class when the first request asks for it, and holds it for all further ones
//! behind one pointer. What outlives the build, the session tables, is kept by [`Others`], at most
//! [`MOST_OTHER_CLASSES`]; the one that was used least recently makes room for another (counted).

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use tidegate_model::{Moment, PersistenceClass, PersistenceName, persistence::Method};

use super::{Prepared, Table, TableCounters};
use crate::{build::PoolContext, pool::Pool};

/// Most classes, besides its own, that a pool keeps sessions in.
pub(crate) const MOST_OTHER_CLASSES: usize = 16;

/// A class prepared for one build of a pool that is not its own.
#[derive(Debug)]
pub(crate) struct Other {
    pub(crate) class: Arc<PersistenceClass>,
    pub(crate) prepared: Prepared,
    /// Last request that asked for it (ms).
    used: AtomicU64,
}

/// The other classes of one build.
pub(crate) type OtherClasses = ArcSwap<Vec<Arc<Other>>>;

/// What all builds of a pool share of the classes that are not its own.
#[derive(Debug, Default)]
pub(crate) struct Others {
    /// Whether rules have asked for another class ever since the pool exists.
    asked: AtomicBool,
    evicted: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// What the newest build was made with.
    context: Option<PoolContext>,
    tables: Vec<KeptTable>,
}

#[derive(Debug)]
struct KeptTable {
    class: PersistenceName,
    method: Method,
    table: Arc<Table>,
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.tables.iter().map(|kept| &kept.class)).finish()
    }
}

impl Others {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nodes may have sessions of another class than the pool's own.
    pub(crate) fn in_use(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Classes that made room for another.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// A build with this context begins. Tells whether classes prepared with the one before are to be prepared
    /// anew.
    pub(crate) fn set_context(&self, context: &PoolContext) -> bool {
        let mut kept = self.lock();
        let same = kept.context.as_ref().is_some_and(|before| before.prepares_like(context));
        kept.context = Some(context.clone());
        !same
    }

    /// Occupation of all tables.
    pub(crate) fn counters(&self) -> TableCounters {
        let kept = self.lock();
        kept.tables
            .iter()
            .map(|kept| kept.table.counters())
            .fold(TableCounters::default(), TableCounters::plus)
    }
}

impl Pool {
    /// The class prepared for this build; `None` for types that are not acted on.
    pub(crate) fn other(&self, class: &Arc<PersistenceClass>, now: Moment) -> Option<Arc<Other>> {
        let others = self.others.load();
        let is = |other: &&Arc<Other>| Arc::ptr_eq(&other.class, class) || other.class == *class;
        if let Some(other) = others.iter().find(is) {
            other.used.fetch_max(now.0, Ordering::Relaxed);
            return Some(other.clone());
        }
        drop(others);
        self.prepare_other(class, now)
    }

    /// What [`Pool::other`] would give. Nothing of it is kept.
    pub(crate) fn look_at_other(&self, class: &Arc<PersistenceClass>) -> Option<Arc<Other>> {
        if let Some(other) = self.others.load().iter().find(|other| other.class == *class) {
            return Some(other.clone());
        }
        let kept = self.shared.others.lock();
        let same = |kept: &&KeptTable| kept.class == class.name && kept.method == class.method;
        let table = kept.tables.iter().find(same).map(|kept| kept.table.clone());
        let prepared = Prepared::with_table(class, &self.members, table, kept.context.as_ref()?)?;
        Some(Arc::new(Other { class: class.clone(), prepared, used: AtomicU64::new(0) }))
    }

    /// O(n) for n members, once per class and build. The lock keeps workers from doing it twice.
    fn prepare_other(&self, class: &Arc<PersistenceClass>, now: Moment) -> Option<Arc<Other>> {
        let mut kept = self.shared.others.lock();
        let mut others = Vec::clone(&self.others.load());
        if let Some(other) = others.iter().find(|other| other.class == *class) {
            return Some(other.clone());
        }
        let same = |kept: &KeptTable| kept.class == class.name && kept.method == class.method;
        let table = kept.tables.iter().find(|kept| same(kept)).map(|kept| kept.table.clone());
        let is_kept = table.is_some();
        let other = Arc::new(Other {
            class: class.clone(),
            prepared: Prepared::with_table(class, &self.members, table, kept.context.as_ref()?)?,
            used: AtomicU64::new(now.0),
        });
        // A class that was changed replaces what it was.
        others.retain(|other| other.class.name != class.name);
        kept.tables.retain(|kept| kept.class != class.name || same(kept));
        if let Some(known) = other.prepared.known().filter(|_| !is_kept) {
            let (class, method) = (class.name.clone(), class.method.clone());
            kept.tables.push(KeptTable { class, method, table: known.table.clone() });
        }
        if others.len() >= MOST_OTHER_CLASSES {
            others.sort_by_key(|other| std::cmp::Reverse(other.used.load(Ordering::Relaxed)));
            others.truncate(MOST_OTHER_CLASSES - 1);
            self.shared.others.evicted.fetch_add(1, Ordering::Relaxed);
        }
        others.push(other.clone());
        if kept.tables.len() > MOST_OTHER_CLASSES {
            // Of this build's classes those in use stay; the oldest of the rest goes.
            let idle = |kept: &KeptTable| others.iter().all(|other| other.class.name != kept.class);
            let place = kept.tables.iter().position(idle).unwrap_or(0);
            kept.tables.remove(place);
        }
        self.shared.others.asked.store(true, Ordering::Relaxed);
        self.others.store(Arc::new(others));
        Some(other)
    }
}

impl TableCounters {
    pub(crate) fn plus(self, more: Self) -> Self {
        Self {
            entries: self.entries + more.entries,
            evicted: self.evicted + more.evicted,
            expired: self.expired + more.expired,
        }
    }
}
