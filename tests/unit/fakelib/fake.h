/* A stand-in for upstream's public header: the same names, a tenth of the members, other values.
 * With GENERATION_C adapters are a list of paths, without it words in the prompt. With IMAGES_OUT images come by a
 * parameter, with ONE_MODE there is no choice of how adapters are applied, with POSITIONAL there are no structs of
 * parameters: fake.c, which sees them nevertheless, has them behind FAKE_INSIDE. */
#ifndef FAKE_STABLE_DIFFUSION_H
#define FAKE_STABLE_DIFFUSION_H

#if defined(_WIN32)
#define SD_API __declspec(dllexport)
#elif __GNUC__ >= 4
#define SD_API __attribute__((visibility("default")))
#else
#define SD_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum sample_method_t { HEUN_SAMPLE_METHOD, EULER_SAMPLE_METHOD = 5, SAMPLE_METHOD_COUNT };
enum scheduler_t { KARRAS_SCHEDULER, DISCRETE_SCHEDULER, SCHEDULER_COUNT };
enum sd_type_t { SD_TYPE_F32, SD_TYPE_FAKE_8 = 8, SD_TYPE_FAKE_9, SD_TYPE_DEAD, SD_TYPE_COUNT };
enum sd_log_level_t { SD_LOG_DEBUG, SD_LOG_INFO, SD_LOG_WARN, SD_LOG_ERROR };
#ifndef ONE_MODE
enum lora_apply_mode_t {
    LORA_APPLY_AUTO,
    LORA_APPLY_IMMEDIATELY,
    LORA_APPLY_AT_RUNTIME,
    LORA_APPLY_MODE_COUNT,  // keep this last
};
#endif

typedef struct {
    uint32_t width;
    uint32_t height;
    uint32_t channel;
    uint8_t* data;
} sd_image_t;

#if !defined(POSITIONAL) || defined(FAKE_INSIDE)
typedef struct {
    const char* model_path;
    const char* clip_l_path;
    const char* clip_g_path;
    const char* t5xxl_path;
    const char* diffusion_model_path;
    const char* vae_path;
    const char* taesd_path;
#ifndef GENERATION_C
    const char* lora_model_dir;
#endif
    bool vae_decode_only;
    bool free_params_immediately;
    int n_threads;
#ifndef ONE_MODE
    enum lora_apply_mode_t lora_apply_mode;
#endif
    bool enable_mmap;
    bool diffusion_flash_attn;
} sd_ctx_params_t;

typedef struct {
    float txt_cfg;
} sd_guidance_params_t;

typedef struct {
    sd_guidance_params_t guidance;
    enum scheduler_t scheduler;
    enum sample_method_t sample_method;
    int sample_steps;
} sd_sample_params_t;

#ifdef GENERATION_C
typedef struct {
    bool is_high_noise;
    float multiplier;
    const char* path;
} sd_lora_t;
#endif

typedef struct {
#ifdef GENERATION_C
    const sd_lora_t* loras;
    uint32_t lora_count;
#endif
    const char* prompt;
    const char* negative_prompt;
    sd_image_t init_image;
    sd_image_t mask_image;
    sd_image_t* ref_images;
    int ref_images_count;
    int width;
    int height;
    sd_sample_params_t sample_params;
    float strength;
    int64_t seed;
    int batch_count;
#ifdef IMAGES_OUT
    bool circular_x;
    bool circular_y;
#endif
} sd_img_gen_params_t;

#ifdef IMAGES_OUT
typedef struct {
    const sd_lora_t* loras;
    uint32_t lora_count;
    const char* prompt;
    const char* negative_prompt;
    int width;
    int height;
    sd_sample_params_t sample_params;
    int64_t seed;
    int video_frames;
    bool circular_x;
    bool circular_y;
} sd_vid_gen_params_t;
#endif
#endif

#ifdef POSITIONAL
enum { EULER = EULER_SAMPLE_METHOD, DISCRETE = DISCRETE_SCHEDULER };
enum rng_type_t { STD_DEFAULT_RNG, CUDA_RNG };
#endif

typedef struct sd_ctx_t sd_ctx_t;

typedef void (*sd_log_cb_t)(enum sd_log_level_t level, const char* text, void* data);
typedef void (*sd_progress_cb_t)(int step, int steps, float time, void* data);

SD_API void sd_set_log_callback(sd_log_cb_t sd_log_cb, void* data);
SD_API void sd_set_progress_callback(sd_progress_cb_t cb, void* data);
SD_API const char* sd_get_system_info();
SD_API void free_sd_ctx(sd_ctx_t* sd_ctx);
#ifdef POSITIONAL
SD_API sd_ctx_t* new_sd_ctx(const char* model_path,
                            const char* taesd_path,
                            const char* lora_model_dir,
                            bool vae_decode_only,
                            int n_threads,
                            enum sd_type_t wtype,
                            enum rng_type_t rng_type,
                            enum scheduler_t s);
SD_API sd_image_t* txt2img(sd_ctx_t* sd_ctx,
                           const char* prompt,
                           const char* negative_prompt,
                           float cfg_scale,
                           int width,
                           int height,
                           enum sample_method_t sample_method,
                           int sample_steps,
                           int64_t seed,
                           int batch_count,
                           const sd_image_t* control_cond,
                           int* skip_layers,
                           size_t skip_layers_count);
#else
SD_API void sd_ctx_params_init(sd_ctx_params_t* sd_ctx_params);
SD_API char* sd_ctx_params_to_str(const sd_ctx_params_t* sd_ctx_params);
SD_API sd_ctx_t* new_sd_ctx(const sd_ctx_params_t* sd_ctx_params);
SD_API void sd_img_gen_params_init(sd_img_gen_params_t* sd_img_gen_params);
#ifdef IMAGES_OUT
SD_API bool generate_image(sd_ctx_t* sd_ctx,
                           const sd_img_gen_params_t* sd_img_gen_params,
                           sd_image_t** images_out,
                           int* num_images_out);
SD_API void free_sd_images(sd_image_t* result_images, int num_images);
SD_API void sd_vid_gen_params_init(sd_vid_gen_params_t* sd_vid_gen_params);
SD_API bool generate_video(sd_ctx_t* sd_ctx,
                           const sd_vid_gen_params_t* sd_vid_gen_params,
                           sd_image_t** frames_out,
                           int* num_frames_out,
                           float** audio_out);
#else
SD_API sd_image_t* generate_image(sd_ctx_t* sd_ctx, const sd_img_gen_params_t* sd_img_gen_params);
#endif
#endif
SD_API int declared_but_not_defined(void);

#ifdef __cplusplus
}
#endif

#endif
