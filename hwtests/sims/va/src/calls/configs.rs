//! What the device can do, and configs.

use std::ffi::c_int;

use crate::calls::call;
use crate::client::{count, give, list, list_mut};
use crate::device::Purpose;
use crate::driver::Driver;
use crate::ffi::{
    self, VAConfigAttrib, VAConfigID, VADisplayAttribute, VADriverContextP, VADriverVTable, VAEntrypoint,
    VAProfile, VAStatus, VASurfaceAttrib,
};
use crate::objects::Config;
use crate::status::{Answer, code, misuse, no};

/// The smallest picture.
const MIN_SIZE: i32 = 16;

pub(super) fn fill(table: &mut VADriverVTable) {
    table.vaQueryConfigProfiles = Some(query_profiles);
    table.vaQueryConfigEntrypoints = Some(query_entrypoints);
    table.vaGetConfigAttributes = Some(get_attributes);
    table.vaCreateConfig = Some(create);
    table.vaDestroyConfig = Some(destroy);
    table.vaQueryConfigAttributes = Some(query_attributes);
    table.vaQuerySurfaceAttributes = Some(query_surface_attributes);
    table.vaQueryDisplayAttributes = Some(query_display_attributes);
    table.vaGetDisplayAttributes = Some(display_attributes);
    table.vaSetDisplayAttributes = Some(display_attributes);
}

fn purpose(driver: &Driver, profile: VAProfile, entrypoint: VAEntrypoint) -> Answer<Purpose> {
    if driver.device.entrypoints(profile).is_empty() {
        return Err(no(ffi::VA_STATUS_ERROR_UNSUPPORTED_PROFILE));
    }
    driver.device.purpose(profile, entrypoint).ok_or(no(ffi::VA_STATUS_ERROR_UNSUPPORTED_ENTRYPOINT))
}

extern "C" fn query_profiles(context: VADriverContextP, to: *mut VAProfile, number: *mut c_int) -> VAStatus {
    call(context, "vaQueryConfigProfiles", |driver| {
        let profiles = driver.device.profiles();
        let room = list_mut(to, profiles.len(), "profile_list")?;
        room.copy_from_slice(&profiles);
        give(number, c_int::try_from(profiles.len()).unwrap_or(0), "num_profiles")
    })
}

extern "C" fn query_entrypoints(
    context: VADriverContextP,
    profile: VAProfile,
    to: *mut VAEntrypoint,
    number: *mut c_int,
) -> VAStatus {
    call(context, "vaQueryConfigEntrypoints", |driver| {
        let entrypoints = driver.device.entrypoints(profile);
        if entrypoints.is_empty() {
            return Err(no(ffi::VA_STATUS_ERROR_UNSUPPORTED_PROFILE));
        }
        list_mut(to, entrypoints.len(), "entrypoint_list")?.copy_from_slice(&entrypoints);
        give(number, c_int::try_from(entrypoints.len()).unwrap_or(0), "num_entrypoints")
    })
}

extern "C" fn get_attributes(
    context: VADriverContextP,
    profile: VAProfile,
    entrypoint: VAEntrypoint,
    attributes: *mut VAConfigAttrib,
    number: c_int,
) -> VAStatus {
    call(context, "vaGetConfigAttributes", |driver| {
        let purpose = purpose(driver, profile, entrypoint)?;
        for attribute in list_mut(attributes, count(number, "num_attribs")?, "attrib_list")? {
            attribute.value = driver.device.attribute(profile, entrypoint, purpose, attribute.type_);
        }
        Ok(())
    })
}

extern "C" fn create(
    context: VADriverContextP,
    profile: VAProfile,
    entrypoint: VAEntrypoint,
    attributes: *mut VAConfigAttrib,
    number: c_int,
    id: *mut VAConfigID,
) -> VAStatus {
    call(context, "vaCreateConfig", |driver| {
        let attributes = list(attributes, count(number, "num_attribs")?, "attrib_list")?;
        let config = config(driver, profile, entrypoint, &attributes)?;
        give(id, driver.objects().configs.insert(config), "config_id")
    })
}

fn config(
    driver: &Driver,
    profile: VAProfile,
    entrypoint: VAEntrypoint,
    attributes: &[VAConfigAttrib],
) -> Answer<Config> {
    let purpose = purpose(driver, profile, entrypoint)?;
    let offered = |kind| driver.device.attribute(profile, entrypoint, purpose, kind);
    let mut config = Config {
        profile,
        entrypoint,
        purpose,
        rt_format: offered(ffi::VAConfigAttribRTFormat),
        rate_control: 0,
        packed_headers: 0,
    };
    for attribute in attributes {
        let (kind, value) = (attribute.type_, attribute.value);
        let offer = offered(kind);
        match kind {
            ffi::VAConfigAttribRTFormat => {
                if value & offer == 0 {
                    return Err(no(ffi::VA_STATUS_ERROR_UNSUPPORTED_RT_FORMAT));
                }
                config.rt_format = value & offer;
            }
            ffi::VAConfigAttribRateControl if matches!(purpose, Purpose::Encode(_)) => {
                if value.count_ones() != 1 {
                    let sentence = format!("rate control {value:#x}: one of VA_RC_ is to be chosen");
                    return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_VALUE, sentence));
                }
                if value & offer == 0 {
                    return Err(no(ffi::VA_STATUS_ERROR_ATTR_NOT_SUPPORTED));
                }
                config.rate_control = value;
            }
            ffi::VAConfigAttribEncPackedHeaders if matches!(purpose, Purpose::Encode(_)) => {
                if value & !offer != 0 {
                    let sentence = format!("packed headers {value:#x}, and the device takes {offer:#x}");
                    return Err(misuse(ffi::VA_STATUS_ERROR_INVALID_VALUE, sentence));
                }
                config.packed_headers = value;
            }
            _ => {}
        }
    }
    Ok(config)
}

extern "C" fn destroy(context: VADriverContextP, id: VAConfigID) -> VAStatus {
    call(context, "vaDestroyConfig", |driver| driver.objects().configs.remove(id).map(drop))
}

extern "C" fn query_attributes(
    context: VADriverContextP,
    id: VAConfigID,
    profile: *mut VAProfile,
    entrypoint: *mut VAEntrypoint,
    attributes: *mut VAConfigAttrib,
    number: *mut c_int,
) -> VAStatus {
    call(context, "vaQueryConfigAttributes", |driver| {
        let config = *driver.objects().configs.get(id)?;
        give(profile, config.profile, "profile")?;
        give(entrypoint, config.entrypoint, "entrypoint")?;
        let mut known = vec![(ffi::VAConfigAttribRTFormat, config.rt_format)];
        if matches!(config.purpose, Purpose::Encode(_)) {
            known.push((ffi::VAConfigAttribRateControl, config.rate_control));
            known.push((ffi::VAConfigAttribEncPackedHeaders, config.packed_headers));
        }
        for (to, (type_, value)) in list_mut(attributes, known.len(), "attrib_list")?.iter_mut().zip(&known) {
            *to = VAConfigAttrib { type_: *type_, value: *value };
        }
        give(number, c_int::try_from(known.len()).unwrap_or(0), "num_attribs")
    })
}

/// A surface attribute that is a number.
fn number_attribute(kind: ffi::VASurfaceAttribType, settable: bool, value: i32) -> VASurfaceAttrib {
    let set = if settable { ffi::VA_SURFACE_ATTRIB_SETTABLE } else { 0 };
    VASurfaceAttrib {
        type_: kind,
        flags: ffi::VA_SURFACE_ATTRIB_GETTABLE | set,
        value: ffi::VAGenericValue {
            type_: ffi::VAGenericValueTypeInteger,
            value: ffi::_VAGenericValue__bindgen_ty_1 { i: value },
        },
    }
}

extern "C" fn query_surface_attributes(
    context: VADriverContextP,
    id: VAConfigID,
    attributes: *mut VASurfaceAttrib,
    number: *mut u32,
) -> VAStatus {
    call(context, "vaQuerySurfaceAttributes", |driver| {
        let config = *driver.objects().configs.get(id)?;
        let size = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        let mut known = Vec::new();
        for fourcc in driver.device.surface_fourccs(config.rt_format) {
            known.push(number_attribute(ffi::VASurfaceAttribPixelFormat, true, size(fourcc)));
        }
        known.push(number_attribute(ffi::VASurfaceAttribMinWidth, false, MIN_SIZE));
        known.push(number_attribute(ffi::VASurfaceAttribMinHeight, false, MIN_SIZE));
        known.push(number_attribute(ffi::VASurfaceAttribMaxWidth, false, size(driver.device.max_width)));
        known.push(number_attribute(ffi::VASurfaceAttribMaxHeight, false, size(driver.device.max_height)));
        let memory = size(ffi::VA_SURFACE_ATTRIB_MEM_TYPE_VA);
        known.push(number_attribute(ffi::VASurfaceAttribMemoryType, true, memory));
        let room = if attributes.is_null() {
            usize::MAX
        } else {
            crate::client::take(number, "num_attribs")? as usize
        };
        give(number, u32::try_from(known.len()).unwrap_or(0), "num_attribs")?;
        if attributes.is_null() {
            return Ok(());
        }
        if room < known.len() {
            return Err(no(ffi::VA_STATUS_ERROR_MAX_NUM_EXCEEDED));
        }
        list_mut(attributes, known.len(), "attrib_list")?.copy_from_slice(&known);
        Ok(())
    })
}

extern "C" fn query_display_attributes(
    context: VADriverContextP,
    _attributes: *mut VADisplayAttribute,
    number: *mut c_int,
) -> VAStatus {
    call(context, "vaQueryDisplayAttributes", |_| give(number, 0, "num_attributes"))
}

extern "C" fn display_attributes(
    _context: VADriverContextP,
    _attributes: *mut VADisplayAttribute,
    _number: c_int,
) -> VAStatus {
    code(ffi::VA_STATUS_ERROR_UNIMPLEMENTED)
}
