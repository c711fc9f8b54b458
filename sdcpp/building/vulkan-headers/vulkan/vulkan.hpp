// Stands before the system's own header of this name, for ggml's Vulkan backend alone. Older Vulkan headers, such as
// Debian 12's 1.3.239, do not know VK_EXT_layer_settings, of which revisions like 2026-05 name three declarations:
// an optional part of vkCreateInstance's argument, read by a validation layer only. Layout and numbers:
// https://registry.khronos.org/vulkan/specs/latest/man/html/VkLayerSettingsCreateInfoEXT.html
#pragma once
#include_next <vulkan/vulkan.hpp>

#ifndef VK_EXT_layer_settings
namespace VULKAN_HPP_NAMESPACE {
enum class LayerSettingTypeEXT { eBool32 = 0 };

struct LayerSettingEXT {
    const char* layer;
    const char* setting;
    LayerSettingTypeEXT type;
    uint32_t count;
    const void* values;
};

struct LayerSettingsCreateInfoEXT {
    VkStructureType type = static_cast<VkStructureType>(1000496000);
    const void* next     = nullptr;
    uint32_t count;
    const LayerSettingEXT* settings;

    template <typename Settings>
    explicit LayerSettingsCreateInfoEXT(const Settings& all) : count(static_cast<uint32_t>(all.size())), settings(all.data()) {}
};
}  // namespace VULKAN_HPP_NAMESPACE
#endif
