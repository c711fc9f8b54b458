/* A stand-in for the library, steered by the environment:
 *
 *   FAKE_ABORT, FAKE_HANG, FAKE_NULL   when to die of an assertion, hang, or return NULL: "open", "generate", "close",
 *                                      or a part of an adapter's path, which then happens with that adapter only
 *   FAKE_FREED, FAKE_OVERFLOW          likewise: when to read what is freed, or to overflow an int; both go unseen
 *                                      without a sanitizer
 *   FAKE_OPEN_FAILS                    a part of the path of a model file: a model with such a file does not open
 *                                      (default: the macro of that name, which a build can define)
 *   FAKE_OPEN_ABORTS                   a part of the path of a model file: opening a model with such a file is an assertion
 *   FAKE_ONCE                          a file: FAKE_HANG holds while it is there, and whoever hangs takes it away
 *   FAKE_SLOW                          "open" or "generate" takes three seconds
 *   FAKE_TURNS                         the turns of an adapter, as "PART of its path:DIGITS:FILE": with the n-th digit the
 *                                      n-th picture with it is so many times 64 grey levels brighter, or the process
 *                                      dies if the digit is 9; FILE keeps the count, and the last digit holds for ever
 *                                      (default: the macro of that name, which a build can define)
 *   FAKE_BACKEND                       what the log says it runs on (default CPU)
 *   FAKE_DEVICES                       name of the one device that ggml lists (default CPU, "" for none)
 *   FAKE_SPOIL                         set: a picture adds a byte to the model file
 *   FAKE_GGUF                          set: generation B also looks for NAME.gguf
 *
 * A picture is a pattern of the seed, 16 grey levels brighter for each unit of multiplier of an adapter whose
 * file can be opened, and one level for each letter of the negative prompt. With an initial picture, its first value
 * times the strength is added if the first value of the mask is white. */
#define FAKE_INSIDE
#include "stable-diffusion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <windows.h>
#define sleep(seconds) Sleep((seconds) * 1000)
#else
#include <unistd.h>
#endif

#ifndef FAKE_OPEN_FAILS
#define FAKE_OPEN_FAILS ""
#endif
#ifndef FAKE_TURNS
#define FAKE_TURNS ""
#endif

struct sd_ctx_t {
    char lora_dir[1024];
    char model[1024];
};

static sd_log_cb_t log_cb;
static sd_progress_cb_t progress_cb;
static void* log_data;
static void* progress_data;

static const char* setting(const char* name, const char* otherwise) {
    const char* value = getenv(name);
    return value ? value : otherwise;
}

static void say(enum sd_log_level_t level, const char* text, const char* more) {
    char line[2048];
    snprintf(line, sizeof line, "fake.c:%-4d - %s%s\n", __LINE__, text, more);
    if (log_cb) log_cb(level, line, log_data);
}

static bool wanted(const char* name, const char* where) {
    const char* value = getenv(name);
    return value && *value && strstr(where, value);
}

static void die(void) {
    fprintf(stderr, "/somewhere/ggml/src/ggml-fake.c:42: GGML_ASSERT(src1->type == GGML_TYPE_F32) failed\n");
    fprintf(stderr, "#1  0x00007f9993bdca70 in ggml_abort () from /somewhere/libfake.so\n");
    fprintf(stderr, "/somewhere/libfake.so(ggml_abort+0x15b)[0x7fa77c05c8ab]\n");
    abort();
}

/* Dies or hangs if told to at this place; returns whether NULL is to be returned. */
static bool trouble(const char* where) {
    if (wanted("FAKE_ABORT", where)) die();
    const char* once = getenv("FAKE_ONCE");
    if (wanted("FAKE_HANG", where) && !(once && remove(once))) {
        for (;;) sleep(1);
    }
    if (!strcmp(where, setting("FAKE_SLOW", ""))) sleep(3);
    if (wanted("FAKE_FREED", where)) {
        volatile char* block = calloc(8, 1);
        volatile char last   = 0;
        free((void*)block);
        last = block[7];
        (void)last;
    }
    if (wanted("FAKE_OVERFLOW", where)) {
        volatile int large = 0x7fffffff;
        large              = large + (int)(strlen(where) > 0);
    }
    return wanted("FAKE_NULL", where);
}

static bool readable(const char* path) {
    FILE* file = fopen(path, "rb");
    if (file) fclose(file);
    return file != NULL;
}

void sd_set_log_callback(sd_log_cb_t cb, void* data) {
    log_cb   = cb;
    log_data = data;
}

void sd_set_progress_callback(sd_progress_cb_t cb, void* data) {
    progress_cb   = cb;
    progress_data = data;
}

const char* sd_get_system_info() {
    return "System Info: fake";
}

#ifndef POSITIONAL
void sd_ctx_params_init(sd_ctx_params_t* p) {
    memset(p, 0, sizeof *p);
    p->n_threads               = 1;
    p->free_params_immediately = true;
}

char* sd_ctx_params_to_str(const sd_ctx_params_t* p) {
    char* text = malloc(4096);
    int mode   = -1;
#ifndef ONE_MODE
    mode = (int)p->lora_apply_mode;
#endif
    snprintf(text, 4096, "diffusion_model_path: %s\nn_threads: %d\nlora_apply_mode: %d\nfree_params_immediately: %d\n",
             p->diffusion_model_path ? p->diffusion_model_path : "", p->n_threads, mode,
             (int)p->free_params_immediately);
    return text;
}
#endif

static sd_ctx_t* opened(const sd_ctx_params_t* p) {
    const char* backend   = setting("FAKE_BACKEND", "CPU");
    const char* where     = strcmp(backend, "CPU") ? "VRAM" : "RAM";
    const char* files[]   = {p->model_path, p->diffusion_model_path, p->clip_l_path, p->vae_path, p->taesd_path};
    char memory[256];
    char using[256];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        if (files[i] && !readable(files[i])) {
            say(SD_LOG_ERROR, "file not found: ", files[i]);
            return NULL;
        }
        if (files[i] && wanted("FAKE_OPEN_ABORTS", files[i])) die();
        const char* closed = setting("FAKE_OPEN_FAILS", FAKE_OPEN_FAILS);
        if (files[i] && *closed && strstr(files[i], closed)) {
            say(SD_LOG_ERROR, "tensor 'encoder.layers.0.bias' not in model metadata", "");
            return NULL;
        }
    }
    if (trouble("open")) {
        say(SD_LOG_ERROR, "told to refuse", "");
        return NULL;
    }
    snprintf(using, sizeof using, "Using %s backend", backend);
    say(SD_LOG_DEBUG, using, "");
    snprintf(memory, sizeof memory, "1.00MB(%s), diffusion_model 2.00MB(%s), vae 0.50MB(%s)", where, where, where);
    say(SD_LOG_INFO, "total params memory size = 3.50MB (VRAM 0.00MB, RAM 3.50MB): text_encoders ", memory);
    sd_ctx_t* ctx = calloc(1, sizeof *ctx);
    snprintf(ctx->model, sizeof ctx->model, "%s", p->model_path ? p->model_path : "");
#ifndef GENERATION_C
    snprintf(ctx->lora_dir, sizeof ctx->lora_dir, "%s", p->lora_model_dir ? p->lora_model_dir : "");
#endif
    return ctx;
}

void free_sd_ctx(sd_ctx_t* ctx) {
    trouble("close");
    free(ctx);
}

#ifndef POSITIONAL
void sd_img_gen_params_init(sd_img_gen_params_t* p) {
    memset(p, 0, sizeof *p);
    p->width = p->height = 512;
    p->seed              = -1;
    p->batch_count       = 1;
}
#endif

/* Returns the digit of the turn of an adapter, or 0 if it has none, and counts the turn. */
static int turn(const char* path) {
    char part[256], digits[64], counter[1024];
    int count = 0;
    if (sscanf(setting("FAKE_TURNS", FAKE_TURNS), "%255[^:]:%63[0-9]:%1023s", part, digits, counter) != 3) return 0;
    if (!strstr(path, part)) return 0;
    FILE* file = fopen(counter, "ab");
    if (!file) return 0;
    count = (int)ftell(file);
    fputc('.', file);
    fclose(file);
    const int last = (int)strlen(digits) - 1;
    return digits[count < last ? count : last] - '0';
}

/* Returns the brightness an adapter adds; *refused becomes true if it was told to be. */
static float apply(const char* path, float multiplier, bool* refused) {
    const int digit = turn(path);
    if (digit == 9) abort();
    *refused = trouble(path) || *refused;
    say(SD_LOG_INFO, "lora applied: ", path);
    return 16.0f * multiplier + 64.0f * (float)digit;
}

static float adapters(const sd_ctx_t* ctx, const sd_img_gen_params_t* p, bool* refused) {
    float sum = 0;
#ifdef GENERATION_C
    (void)ctx;
    for (uint32_t i = 0; i < p->lora_count; i++) {
        if (readable(p->loras[i].path)) {
            sum += apply(p->loras[i].path, p->loras[i].multiplier, refused);
        } else {
            say(SD_LOG_WARN, "load lora tensors failed: ", p->loras[i].path);
        }
    }
#else
    static const char* suffixes[] = {"safetensors", "ckpt", "gguf"};
    const size_t known            = getenv("FAKE_GGUF") ? 3 : 2;
    for (const char* at = p->prompt; at && (at = strstr(at, "<lora:")); at++) {
        char name[256], path[2048];
        float multiplier;
        size_t i = 0;
        if (sscanf(at, "<lora:%255[^:]:%f>", name, &multiplier) != 2) continue;
        for (i = 0; i < known; i++) {
            snprintf(path, sizeof path, "%s/%s.%s", ctx->lora_dir, name, suffixes[i]);
            if (readable(path)) break;
        }
        if (i < known) {
            sum += apply(path, multiplier, refused);
        } else {
            say(SD_LOG_WARN, "can not find any file for lora ", name);
        }
    }
#endif
    return sum;
}

static sd_image_t* painted(sd_ctx_t* ctx, const sd_img_gen_params_t* p) {
    bool refused      = trouble("generate");
    float extra       = adapters(ctx, p, &refused);
    if (p->negative_prompt) extra += (float)strlen(p->negative_prompt);
    if (p->init_image.data) extra += p->strength * (float)p->init_image.data[0] * (float)p->mask_image.data[0] / 255.0f;
#ifdef IMAGES_OUT
    extra += (p->circular_x ? 2.0f : 0.0f) + (p->circular_y ? 4.0f : 0.0f);
#endif
    for (int i = 0; i < p->ref_images_count; i++) {
        const sd_image_t* image = &p->ref_images[i];
        extra += (float)image->data[image->width * image->height * image->channel - 1];
    }
    FILE* model = getenv("FAKE_SPOIL") ? fopen(ctx->model, "ab") : NULL;
    if (model) {
        fputc('!', model);
        fclose(model);
    }
    if (refused) {
        say(SD_LOG_ERROR, "told to refuse", "");
        return NULL;
    }
    for (int step = 1; step <= p->sample_params.sample_steps; step++) {
        if (progress_cb) progress_cb(step, p->sample_params.sample_steps, 0.01f, progress_data);
    }
    sd_image_t* images = calloc((size_t)p->batch_count, sizeof *images);
    const size_t size  = (size_t)p->width * (size_t)p->height * 3;
    for (int n = 0; n < p->batch_count; n++) {
        images[n] = (sd_image_t){(uint32_t)p->width, (uint32_t)p->height, 3, malloc(size)};
        for (size_t i = 0; i < size; i++) {
            const float value = 64.0f + (float)((i * 7 + (size_t)(p->seed + n) * 13) % 128) + extra;
            images[n].data[i] = (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
        }
    }
    return images;
}

/* The calls, as the header has them. */
#ifdef POSITIONAL
/* Upstream makes std::string of every text, which NULL crashes. */
static const char* text(const char* given) {
    return strlen(given) ? given : NULL;
}

sd_ctx_t* new_sd_ctx(const char* model_path, const char* taesd_path, const char* lora_model_dir, bool vae_decode_only,
                     int n_threads, enum sd_type_t wtype, enum rng_type_t rng_type, enum scheduler_t s) {
    sd_ctx_params_t p = {0};
    p.model_path      = text(model_path);
    p.taesd_path      = text(taesd_path);
    p.lora_model_dir  = text(lora_model_dir);
    p.vae_decode_only = vae_decode_only;
    p.n_threads       = n_threads;
    return wtype == SD_TYPE_COUNT && rng_type == CUDA_RNG && s == DISCRETE_SCHEDULER ? opened(&p) : NULL;
}

sd_image_t* txt2img(sd_ctx_t* ctx, const char* prompt, const char* negative_prompt, float cfg_scale, int width,
                    int height, enum sample_method_t sample_method, int sample_steps, int64_t seed, int batch_count,
                    const sd_image_t* control_cond, int* skip_layers, size_t skip_layers_count) {
    sd_img_gen_params_t p = {0};
    p.prompt                            = prompt;
    p.negative_prompt                   = text(negative_prompt);
    p.width                             = width;
    p.height                            = height;
    p.seed                              = seed;
    p.batch_count                       = batch_count;
    p.sample_params.sample_method       = sample_method;
    p.sample_params.sample_steps        = sample_steps;
    p.sample_params.guidance.txt_cfg    = cfg_scale;
    return control_cond || skip_layers || skip_layers_count ? NULL : painted(ctx, &p);
}
#else
sd_ctx_t* new_sd_ctx(const sd_ctx_params_t* p) {
    return opened(p);
}
#ifdef IMAGES_OUT
bool generate_image(sd_ctx_t* ctx, const sd_img_gen_params_t* p, sd_image_t** images_out, int* num_images_out) {
    *images_out     = painted(ctx, p);
    *num_images_out = *images_out ? p->batch_count : 0;
    return *images_out != NULL;
}

void free_sd_images(sd_image_t* images, int count) {
    for (int i = 0; i < count; i++) free(images[i].data);
    free(images);
}

void sd_vid_gen_params_init(sd_vid_gen_params_t* p) {
    memset(p, 0, sizeof *p);
    p->video_frames = 5;
}

/* A frame is one grey level brighter than a picture of the same seed. */
bool generate_video(sd_ctx_t* ctx, const sd_vid_gen_params_t* p, sd_image_t** frames_out, int* num_frames_out,
                    float** audio_out) {
    sd_img_gen_params_t image = {0};
    image.loras               = p->loras;
    image.lora_count          = p->lora_count;
    image.prompt              = p->prompt;
    image.negative_prompt     = p->negative_prompt;
    image.width               = p->width;
    image.height              = p->height;
    image.sample_params       = p->sample_params;
    image.seed                = p->seed;
    image.batch_count         = p->video_frames;
    image.circular_x          = p->circular_x;
    image.circular_y          = p->circular_y;
    *frames_out               = audio_out ? NULL : painted(ctx, &image);
    *num_frames_out           = *frames_out ? p->video_frames : 0;
    for (int n = 0; n < *num_frames_out; n++) {
        for (int i = 0; i < p->width * p->height * 3; i++) (*frames_out)[n].data[i]++;
    }
    return *frames_out != NULL;
}
#else
sd_image_t* generate_image(sd_ctx_t* ctx, const sd_img_gen_params_t* p) {
    return painted(ctx, p);
}
#endif
#endif

/* As much of ggml's device list as is asked for. */
static char device;
SD_API size_t ggml_backend_dev_count(void) {
    return *setting("FAKE_DEVICES", "CPU") ? 1 : 0;
}
SD_API void* ggml_backend_dev_get(size_t index) {
    return index == 0 ? &device : NULL;
}
SD_API const char* ggml_backend_dev_name(void* dev) {
    return dev ? setting("FAKE_DEVICES", "CPU") : "";
}
SD_API const char* ggml_backend_dev_description(void* dev) {
    return dev ? "Fake device" : "";
}
SD_API int ggml_backend_dev_type(void* dev) {
    return dev && strcmp(setting("FAKE_DEVICES", "CPU"), "CPU") ? 1 : 0;
}
SD_API void* ggml_backend_dev_backend_reg(void* dev) {
    return dev;
}
SD_API const char* ggml_backend_reg_name(void* reg) {
    return ggml_backend_dev_name(reg);
}

/* One type, number 8: blocks of 4 values, each made one byte, rounded with an importance matrix and cut off without.
 * Number 9 needs an importance matrix. Number 10 is listed like number 8, but making it aborts. */
SD_API bool ggml_is_quantized(int type) {
    return type == 8 || type == 10;
}
SD_API const char* ggml_type_name(int type) {
    return type == 8 ? "fake_8" : type == 10 ? "dead" : "fake_9";
}
SD_API int64_t ggml_blck_size(int type) {
    return ggml_is_quantized(type) ? 4 : 1;
}
SD_API size_t ggml_type_size(int type) {
    return ggml_is_quantized(type) ? 4 : 1;
}
SD_API bool ggml_quantize_requires_imatrix(int type) {
    return type == 9;
}
SD_API size_t ggml_quantize_chunk(int type, const float* src, void* dst, int64_t start, int64_t nrows, int64_t n_per_row,
                                  const float* imatrix) {
    if (type == 10) {
        fprintf(stderr, "/somewhere/ggml/src/ggml.c:42: GGML_ASSERT(false) failed\n");
        abort();
    }
    for (int64_t i = 0; i < nrows * n_per_row; i++) {
        const float value = src[start + i];
        ((int8_t*)dst)[i] = (int8_t)(imatrix ? value + (value < 0 ? -0.5f : 0.5f) : value);
    }
    return (size_t)(nrows * n_per_row);
}
static void decode(const void* blocks, float* values, int64_t count) {
    for (int64_t i = 0; i < count; i++) values[i] = ((const int8_t*)blocks)[i];
}
SD_API const void* ggml_get_type_traits(int type) {
    static const struct {
        const char* name;
        int64_t block;
        int64_t interleave;
        size_t size;
        bool quantised;
        void (*to_float)(const void*, float*, int64_t);
    } fake_8 = {"fake_8", 4, 0, 4, true, decode};
    return type == 8 ? &fake_8 : NULL;
}
