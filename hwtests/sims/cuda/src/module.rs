//! Modules: PTX and the entries in it.

use gpu::scale::kernel::{Kernel, PTX};
use sim_nvidia::pointer::{In, Out, Text};

use crate::driver::{Driver, entries, put};
use crate::kernel;
use crate::status::{
    Answer, INVALID_HANDLE, INVALID_IMAGE, INVALID_VALUE, NOT_FOUND, UNSUPPORTED_PTX_VERSION,
};

/// A loaded module.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) context: usize,
    text: String,
}

/// An entry of a module.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) module: usize,
    pub(crate) name: String,
    /// The kernel it is, where the module's text is that of the crate `gpu`.
    pub(crate) kernel: Option<Kernel>,
}

fn load(driver: &Driver, name: &str, out: Out<usize>, image: Text) -> Answer {
    let (context, _) = driver.current(name)?;
    let text = image.get().ok_or(INVALID_VALUE)?.to_str().map_err(|_| INVALID_IMAGE)?;
    let version = text.lines().find_map(|line| line.trim().strip_prefix(".version "));
    let version = version.and_then(|v| v.trim().split_once('.')).ok_or(INVALID_IMAGE)?;
    let version = version.0.parse().ok().zip(version.1.parse().ok()).ok_or(INVALID_IMAGE)?;
    if version > driver.versions.ptx {
        return Err(UNSUPPORTED_PTX_VERSION);
    }
    let mut tables = driver.tables();
    let handle = tables.handle();
    tables.modules.insert(handle, Module { context, text: text.to_owned() });
    drop(tables);
    put(out, handle)
}

entries! {
    fn cuModuleLoadData(driver, module: Out<usize>, image: Text) {
        load(driver, "cuModuleLoadData", module, image)
    }
    fn cuModuleLoadDataEx(driver, module: Out<usize>, image: Text, _count: u32, _options: In<u32>, _values: In<usize>) {
        load(driver, "cuModuleLoadDataEx", module, image)
    }
    fn cuModuleUnload(driver, module: usize) {
        driver.current("cuModuleUnload")?;
        if driver.tables().modules.remove(&module).is_none() {
            return driver.wrong(INVALID_HANDLE, "cuModuleUnload is given what is no module");
        }
        Ok(())
    }
    fn cuModuleGetFunction(driver, function: Out<usize>, module: usize, name: Text) {
        driver.current("cuModuleGetFunction")?;
        let name = name.get().and_then(|name| name.to_str().ok()).ok_or(INVALID_VALUE)?;
        let mut tables = driver.tables();
        let Some(found) = tables.modules.get(&module) else {
            drop(tables);
            return driver.wrong(INVALID_HANDLE, "cuModuleGetFunction is given what is no module");
        };
        let entry = format!(".entry {name}(");
        if !found.text.contains(&entry) {
            return Err(NOT_FOUND);
        }
        let ours = found.text == PTX;
        let kernel = Kernel::ALL.into_iter().find(|kernel| ours && kernel.entry() == name);
        let handle = tables.handle();
        tables.functions.insert(handle, Function { module, name: name.to_owned(), kernel });
        drop(tables);
        put(function, handle)
    }
    fn cuFuncGetAttribute(driver, value: Out<i32>, _attribute: u32, function: usize) {
        driver.current("cuFuncGetAttribute")?;
        driver.function("cuFuncGetAttribute", function)?;
        put(value, 0)
    }
    fn cuLaunchKernel(
        driver,
        function: usize,
        grid_x: u32,
        grid_y: u32,
        grid_z: u32,
        block_x: u32,
        block_y: u32,
        block_z: u32,
        shared_bytes: u32,
        stream: usize,
        arguments: In<usize>,
        extra: In<usize>,
    ) {
        let (context, found) = driver.current("cuLaunchKernel")?;
        driver.stream("cuLaunchKernel", stream)?;
        let function = driver.function("cuLaunchKernel", function)?;
        let launch = kernel::Launch {
            context,
            device: found.device,
            grid: (grid_x, grid_y, grid_z),
            block: (block_x, block_y, block_z),
            shared_bytes,
            arguments,
        };
        if !extra.as_ptr().is_null() {
            return driver.wrong(INVALID_VALUE, "cuLaunchKernel is given extra arguments, which no kernel here has");
        }
        kernel::launch(driver, &function, &launch)
    }
}

impl Driver {
    /// A function by its handle, its module still loaded.
    fn function(&self, name: &str, handle: usize) -> Answer<Function> {
        let tables = self.tables();
        let function = tables.functions.get(&handle).cloned();
        let loaded = function.as_ref().is_some_and(|function| tables.modules.contains_key(&function.module));
        drop(tables);
        match function {
            Some(function) if loaded => Ok(function),
            Some(_) => self.wrong(INVALID_HANDLE, &format!("{name} uses a function of an unloaded module")),
            None => self.wrong(INVALID_HANDLE, &format!("{name} is given what is no function")),
        }
    }
}
