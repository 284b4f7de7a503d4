//! Registers and runs a resource listener in one step.

use futures::FutureExt;

use crate::guard::discard;
use crate::handler::resource_listener::ResourceListener;
use crate::handler::resource_listener::handle::ResourceListenerHandle;
use crate::handler::resource_listener::task::ResourceListenerTask;
use crate::resource::registry::Resources;
use crate::resource::registry::error::RegisterError;
use crate::resource::settings::ResourceConfig;

impl Resources {
    /// Registers a [`ResourceListener`] and runs it, in a task of the server's
    /// [runtime](crate::runtime): `run-resource-listener`.
    ///
    /// [`ResourceListenerHandle::kill`] frees its path at once. A [`ResourceListenerTask`] can run
    /// on any other executor.
    ///
    /// # Errors
    ///
    /// The errors of [`register`](Self::register). [`RegisterError::NoRuntime`] if the server has no
    /// runtime.
    pub fn run_resource_listener<L: ResourceListener>(
        &self,
        path: &str,
        settings: impl Into<ResourceConfig>,
        listener: L,
    ) -> Result<ResourceListenerHandle<L>, RegisterError> {
        let runtime = self.runtime();
        runtime.check().map_err(|_| RegisterError::NoRuntime(path.into()))?;
        let debug = self.debug_on();
        let task = ResourceListenerTask::new(listener).debug_on(debug).at(path).known_to(self.works());
        let resource = task.resource();
        // The handle and the task must not keep the server: the listener ends when the server is
        // dropped.
        let handle = task.handle().registered(self.registered(path, &resource));
        self.register_shared(path, settings, resource)?;
        let place = Box::<str>::from(path);
        let run = task.run().map(move |listener| discard(debug, &place, listener));
        runtime.spawn(run).map_err(|_| RegisterError::NoRuntime(path.into()))?;
        Ok(handle)
    }
}
