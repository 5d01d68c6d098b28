/* Reads messages that are alike but for their values: template by template, into columns. See templates.py.

   What a template says: the text between values, byte by byte, and what each value is. A message that differs in
   anything else is refused, and read another way; so what is accepted is JSON by construction, and no value is ever
   guessed. Memory: reads messages only, of which the last is followed by PADDING bytes; writes to its outputs only. */

#include <stdint.h>
#include <string.h>

enum { NUMBER, TEXT, ID, ATOM, IGNORED };            /* what a value is; IGNORED: any but an object or a list */
enum { REAL, WHOLE, NO_NUMBER };                     /* how a number was written */
enum { TRUE_ATOM, FALSE_ATOM, NULL_ATOM };
enum { NO_TEXT = 254, UNKNOWN = 255 };               /* codes of null, and of a text that has none yet */
enum { PLACES = 512, CODES = 254, EXPONENT_MIN = -342, EXPONENT_MAX = 308 };

typedef struct {
  int64_t slots;                 /* values in a message */
  const uint8_t *literals;       /* the text before each value, and after the last */
  const int32_t *literal_ends;   /* slots + 1 */
  const uint8_t *kinds;          /* slots */
  const int32_t *columns;        /* slots: which column of its kind a value is for; texts and ids share theirs */
  const uint16_t *places;        /* text columns x PLACES: code + 1 of the texts known, by hash; 0: free */
  const int32_t *text_starts;    /* text columns x CODES: where in `texts` each is */
  const int32_t *text_sizes;
  const uint8_t *texts;
  const uint64_t *powers;        /* of five, for EXPONENT_MIN to EXPONENT_MAX: 128 bits each, high half first */
} Template;

typedef struct {
  int64_t stride;                /* rows of a column */
  double *numbers;
  uint8_t *written;              /* REAL, WHOLE or NO_NUMBER */
  uint8_t *codes;
  int64_t *starts;               /* of texts in the batch, of ids in `ids`; size -1: null */
  int32_t *sizes;
  uint8_t *ids;                  /* one after the other, so that they lie close; room for the whole batch */
  int64_t ids_size;              /* how much of it is used */
  uint8_t *atoms;
  int64_t *fitted;               /* messages that fit, in order: row by row */
  int64_t *left;                 /* the others */
} Output;

typedef const uint8_t *Place;

/* ---- numbers */

static int is_digit(uint8_t byte) { return (uint8_t)(byte - '0') < 10; }

/* Gives the double nearest to digits * 10^exponent, by one or two 64-bit products (Lemire 2021, "Number parsing at a
   gigabyte per second"). Returns 0 where it would be subnormal or infinite, or can't be told: rare. */
static int nearest(uint64_t digits, int64_t exponent, const uint64_t *powers, double *value) {
  if (exponent < EXPONENT_MIN || exponent > EXPONENT_MAX) return 0;
  const uint64_t *power = powers + 2 * (exponent - EXPONENT_MIN);
  int zeros = __builtin_clzll(digits);
  digits <<= zeros;
  unsigned __int128 product = (unsigned __int128)digits * power[0];
  uint64_t high = (uint64_t)(product >> 64), low = (uint64_t)product;
  if ((high & 0x1FF) == 0x1FF) { /* the rest of the power may matter */
    uint64_t more = (uint64_t)(((unsigned __int128)digits * power[1]) >> 64);
    low += more;
    high += low < more;
    if (low == UINT64_MAX) return 0;
  }
  int upper = (int)(high >> 63);
  uint64_t mantissa = high >> (upper + 9);
  int64_t biased = ((217706 * exponent) >> 16) + 63 + upper - zeros + 1023;
  if (biased <= 0) return 0;
  /* exactly between two doubles: to the even one */
  if (low <= 1 && exponent >= -4 && exponent <= 23 && (mantissa & 3) == 1 && mantissa << (upper + 9) == high)
    mantissa &= ~(uint64_t)1;
  mantissa = (mantissa + (mantissa & 1)) >> 1;
  if (mantissa >> 53) {
    mantissa >>= 1;
    biased++;
  }
  if (biased >= 2047) return 0;
  uint64_t bits = (mantissa & ~((uint64_t)1 << 52)) | ((uint64_t)biased << 52);
  memcpy(value, &bits, sizeof bits);
  return 1;
}

/* Reads a JSON number, correctly rounded; NULL where there is none, or one for which that takes more than is here. */
static Place read_number(Place at, Place end, const uint64_t *powers, double *value, uint8_t *written) {
  static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
  const uint64_t digits_max = (UINT64_MAX - 9) / 10, exact_max = (uint64_t)1 << 53;
  uint64_t digits = 0;
  int64_t exponent = 0;
  int is_negative = at < end && *at == '-', is_whole = 1;
  at += is_negative;
  Place first = at;
  for (; at < end && is_digit(*at); at++) {
    if (digits > digits_max) return NULL;
    digits = digits * 10 + (uint64_t)(*at - '0');
  }
  if (at == first || (*first == '0' && at - first > 1)) return NULL;
  if (at < end && *at == '.') {
    is_whole = 0;
    for (first = ++at; at < end && is_digit(*at); at++) {
      if (digits > digits_max) return NULL;
      digits = digits * 10 + (uint64_t)(*at - '0');
    }
    if (at == first) return NULL;
    exponent = first - at;
  }
  if (at < end && (*at | 0x20) == 'e') {
    int64_t power = 0;
    is_whole = 0;
    at++;
    int is_small = at < end && *at == '-';
    at += at < end && (*at == '-' || *at == '+');
    for (first = at; at < end && is_digit(*at); at++) {
      if (power > 1000) return NULL;
      power = power * 10 + (*at - '0');
    }
    if (at == first) return NULL;
    exponent += is_small ? -power : power;
  }
  *written = is_whole ? WHOLE : REAL;
  if (digits < exact_max && exponent >= -22 && exponent <= 22) /* both are doubles: one rounding */
    *value = exponent < 0 ? (double)digits / tens[-exponent] : (double)digits * tens[exponent];
  else if (digits == 0)
    *value = 0.0;
  else if (is_whole || !nearest(digits, exponent, powers, value))
    return NULL;
  if (is_negative) *value = -*value;
  return at;
}

/* ---- texts */

static uint64_t load(Place at, int64_t size) { /* up to eight bytes; more may be read than are of use */
  uint64_t word;
  memcpy(&word, at, sizeof word);
  return size < 8 ? word & (((uint64_t)1 << (8 * size)) - 1) : word;
}

static uint64_t hash_of(Place at, int64_t size) {
  uint64_t hash = (uint64_t)size;
  for (; size > 0; at += 8, size -= 8) {
    hash = (hash ^ load(at, size)) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  }
  return hash;
}

static int is_utf8(Place at, Place end) {
  while (at < end) {
    uint8_t byte = *at++;
    if (byte < 0x80) continue;
    int more = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : 1;
    if (byte < 0xC2 || byte > 0xF4 || end - at < more) return 0;
    uint8_t next = *at;
    if ((byte == 0xE0 && next < 0xA0) || (byte == 0xED && next > 0x9F)) return 0; /* overlong, surrogates */
    if ((byte == 0xF0 && next < 0x90) || (byte == 0xF4 && next > 0x8F)) return 0; /* overlong, beyond the last */
    for (; more > 0; more--)
      if ((*at++ & 0xC0) != 0x80) return 0;
  }
  return 1;
}

/* Reads a JSON string without escapes, at its quote; gives its closing quote, or NULL. */
static Place read_text(Place at, Place end) {
  const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
  if (at >= end || *at != '"') return NULL;
  Place first = at + 1, last = memchr(first, '"', (size_t)(end - first));
  if (!last) return NULL;
  uint64_t is_high = 0, is_special = 0;
  for (at = first; at < last; at += 8) {
    int64_t size = last - at;
    uint64_t word = load(at, size);
    if (size < 8) word |= (ones * ' ') << (8 * size); /* spaces, which are plain */
    uint64_t slash = word ^ (ones * '\\');
    is_high |= word & tops;
    is_special |= (((word - ones * 0x20) & ~word) | ((slash - ones) & ~slash)) & tops;
  }
  return is_special || (is_high && !is_utf8(first, last)) ? NULL : last;
}

/* Passes over a JSON string that may have escapes; gives its closing quote, or NULL. */
static Place pass_text(Place at, Place end) {
  if (at >= end || *at != '"') return NULL;
  Place first = ++at;
  for (; at < end && *at != '"'; at++) {
    if (*at < 0x20) return NULL;
    if (*at != '\\') continue;
    if (++at >= end || !*at || !strchr("\"\\/bfnrt", *at)) return NULL; /* \u is left to others */
  }
  return at < end && is_utf8(first, at) ? at : NULL;
}

static int code_of(const Template *form, int64_t column, Place at, int64_t size) {
  const uint16_t *places = form->places + column * PLACES;
  for (uint64_t place = hash_of(at, size) >> 55;; place = (place + 1) & (PLACES - 1)) { /* the upper nine bits */
    if (!places[place]) return UNKNOWN;
    int64_t known = column * CODES + places[place] - 1;
    if (form->text_sizes[known] == size && !memcmp(form->texts + form->text_starts[known], at, (size_t)size))
      return places[place] - 1;
  }
}

/* ---- messages */

static int starts_with(Place at, Place end, const char *word, int64_t size) {
  return end - at >= size && !memcmp(at, word, (size_t)size);
}

static Place read_atom(Place at, Place end, uint8_t *atom) {
  if (starts_with(at, end, "true", 4)) return *atom = TRUE_ATOM, at + 4;
  if (starts_with(at, end, "false", 5)) return *atom = FALSE_ATOM, at + 5;
  if (starts_with(at, end, "null", 4)) return *atom = NULL_ATOM, at + 4;
  return NULL;
}

static Place pass_value(Place at, Place end, const uint64_t *powers) {
  double value;
  uint8_t ignored;
  if (at < end && *at == '"') return (at = pass_text(at, end)) ? at + 1 : NULL;
  Place after = read_atom(at, end, &ignored);
  return after ? after : read_number(at, end, powers, &value, &ignored);
}

/* Reads a value of a kind into its column's place; gives where it ends, or NULL. */
static Place read_value(const Template *form, int64_t slot, Place batch, Place at, Place end, Output *out, int64_t row) {
  int64_t cell = form->columns[slot] * out->stride + row;
  switch (form->kinds[slot]) {
  case NUMBER:
    if (starts_with(at, end, "null", 4)) {
      out->written[cell] = NO_NUMBER;
      out->numbers[cell] = __builtin_nan("");
      return at + 4;
    }
    return read_number(at, end, form->powers, out->numbers + cell, out->written + cell);
  case TEXT:
  case ID:
    if (starts_with(at, end, "null", 4)) {
      out->starts[cell] = 0;
      out->sizes[cell] = -1;
      out->codes[cell] = NO_TEXT;
      return at + 4;
    }
    Place last = read_text(at, end);
    if (!last || last - at > INT32_MAX) return NULL;
    int64_t size = last - at - 1;
    out->sizes[cell] = (int32_t)size;
    if (form->kinds[slot] == TEXT) {
      out->starts[cell] = at + 1 - batch;
      out->codes[cell] = (uint8_t)code_of(form, form->columns[slot], at + 1, size);
    } else {
      out->starts[cell] = out->ids_size;
      memcpy(out->ids + out->ids_size, at + 1, (size_t)size);
      out->ids_size += size;
    }
    return last + 1;
  case ATOM:
    return read_atom(at, end, out->atoms + cell);
  default:
    return pass_value(at, end, form->powers);
  }
}

static int fits(const Template *form, Place batch, Place at, Place end, Output *out, int64_t row) {
  int32_t literal = 0;
  for (int64_t slot = 0;; slot++) {
    int32_t size = form->literal_ends[slot] - literal;
    if (end - at < size || memcmp(at, form->literals + literal, (size_t)size)) return 0;
    at += size;
    literal += size;
    if (slot == form->slots) return at == end;
    at = read_value(form, slot, batch, at, end, out, row);
    if (!at) return 0;
  }
}

/* Reads `count` messages of a batch: message i is from ends[i - 1] (0 for the first) to ends[i]. Gives how many fit. */
int64_t driftd_read(const Template *form, Output *out, const uint8_t *batch, const int64_t *ends,
                    const int64_t *messages, int64_t count) {
  int64_t row = 0;
  for (int64_t i = 0; i < count; i++) {
    int64_t message = messages[i];
    int64_t start = message ? ends[message - 1] : 0, ids_size = out->ids_size;
    if (fits(form, batch, batch + start, batch + ends[message], out, row)) {
      out->fitted[row++] = message;
    } else {
      out->left[i - row] = message;
      out->ids_size = ids_size;
    }
  }
  return row;
}
