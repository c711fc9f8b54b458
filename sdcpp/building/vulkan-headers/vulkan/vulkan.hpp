// This header comes before the system's header of the same name, for ggml's Vulkan backend only. Older Vulkan headers,
// such as Debian 12's 1.3.239, lack VK_EXT_layer_settings. Revisions like 2026-05 use three of its declarations, for an
// optional part of vkCreateInstance's argument that only a validation layer reads. Layout and numbers:
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
