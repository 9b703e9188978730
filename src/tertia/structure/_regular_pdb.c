/* The atom lines of an ordinary PDB file, read in one pass.
 *
 * regular_lines.py is the reference: it says what a regular line is, works without this file, and gives its tables to
 * it. Both give the same columns, bit for bit, or both give None. Here is only what is done for every atom.
 *
 * No access leaves the text: a line is looked at only as far as its newline allows. No access leaves the columns: every
 * atom takes a line of at least 80 characters and a newline, and get_buffers refuses columns that are too short for that. */

#define Py_LIMITED_API 0x030b0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define INTERFACE 1 /* what read_regular_pdb.py expects; goes up with every change, so that no stale build is used */
#define WIDTH 80

/* In the order of COLUMNS in read_regular_pdb.py. */
enum { NAME, ELEMENT, ALTLOC, COORD, OCCUPANCY, B_FACTOR,
       FIRST_ATOM, RESIDUE_NAME, CHAIN, NUMBER, INSERTION, HETERO, PLACE, N_COLUMNS };
static const Py_ssize_t BYTES[N_COLUMNS] = {8, 2, 1, 12, 4, 4, sizeof(Py_ssize_t), 8, 8, 4, 1, 1, 8};

enum { CONTENT, ELEMENTS, NUMBERS, RECORDS, N_INPUTS };
enum { COORD_TABLES = 0, SHORT_TABLES = 4, INTEGER_TABLES = 7, N_TABLES = 9 };
#define N_CODES 14651 /* entries of a table: up to the pair "99", and one that is bad */
#define POSITIVE (1u << 27)

typedef struct {
    Py_buffer input[N_INPUTS], column[N_COLUMNS];
    Py_ssize_t n_atoms, n_residues;
    PyObject *ends; /* how many residues had begun, for each TER record */
} Reader;

#define CELL(reader, which, row) ((char *)(reader)->column[which].buf + BYTES[which] * (row))

static int is_digit(unsigned char c) { return (unsigned char)(c - '0') < 10; }

static int is(const char *line, const char *word) { return memcmp(line, word, 4) == 0; }

/* Sum up what the pairs of a field add to its number, by as many tables: see `_table` in regular_lines.py.
 * No branch depends on the text: signs and widths change from number to number, and each wrong guess would cost more. */
static inline int look_up(const Reader *r, const char *field, int first_table, int n_pairs, int32_t *value) {
    const uint32_t *table = (const uint32_t *)r->input[NUMBERS].buf + N_CODES * first_table;
    const unsigned char *pair = (const unsigned char *)field;
    uint32_t total = 0;
    for (int k = 0; k < n_pairs; k++, pair += 2, table += N_CODES) {
        uint32_t code = pair[0] + 256u * pair[1];
        total += table[code < N_CODES ? code : N_CODES - 1]; /* the last entry is bad */
    }
    int32_t magnitude = (int32_t)((total & (POSITIVE - 1)) >> 2);
    *value = total & POSITIVE ? magnitude : -magnitude;
    return total < 2 * POSITIVE && !(total & 2);
}

/* Write a field without blanks around it, filled up with zeros to eight bytes. */
static void write_text(char *target, const char *field, int width) {
    while (width && field[0] == ' ') field++, width--;
    while (width && field[width - 1] == ' ') width--;
    memset(target, 0, 8);
    for (int k = 0; k < width; k++) target[k] = field[k];
}

/* Columns 79-80 are blank, or a digit and a sign or blank in any order. */
static int is_charge(const char *field) {
    if (field[0] == ' ' && field[1] == ' ') return 1;
    for (int k = 0; k < 2; k++) {
        char sign = field[1 - k];
        if (is_digit(field[k]) && (sign == ' ' || sign == '+' || sign == '-')) return 1;
    }
    return 0;
}

/* Names are aligned to the right and numbers have no needless zero, so that only equal text is equal. */
static int is_spelt_one_way(const char *line) {
    const char *number = line + 22;
    if (line[19] == ' ' || (line[21] == ' ' && line[20] != ' ')) return 0;
    for (int k = 0; k < 4; k++) {
        char before = k ? number[k - 1] : ' ';
        if (number[k] != '0') continue;
        if (before == '-' || (before == ' ' && k < 3 && is_digit(number[k + 1]))) return 0;
    }
    return 1;
}

static int begin_residue(Reader *r, const char *line) {
    Py_ssize_t row = r->n_residues++;
    if (!is_spelt_one_way(line) || !look_up(r, line + 22, INTEGER_TABLES, 2, (int32_t *)CELL(r, NUMBER, row))) return 0;
    *(Py_ssize_t *)CELL(r, FIRST_ATOM, row) = r->n_atoms;
    write_text(CELL(r, RESIDUE_NAME, row), line + 17, 3);
    write_text(CELL(r, CHAIN, row), line + 20, 2);
    *CELL(r, INSERTION, row) = line[26];
    *CELL(r, HETERO, row) = line[0] == 'H';
    memcpy(CELL(r, PLACE, row), line + 19, 8);
    return 1;
}

/* Read an atom line; `before` is the atom line before, NULL at the first one. */
static int read_atom(Reader *r, const char *line, const char *before) {
    Py_ssize_t row = r->n_atoms;
    int32_t value[5];
    int is_good = 1;
    if (!before || memcmp(line + 17, before + 17, 10)) {
        if (!begin_residue(r, line)) return 0;
    } else if (memcmp(line + 72, before + 72, 4)) {
        return 0; /* the segment changes inside a residue */
    }
    for (int k = 0; k < 3; k++) is_good &= look_up(r, line + 30 + 8 * k, COORD_TABLES, 4, &value[k]);
    for (int k = 0; k < 2; k++) is_good &= look_up(r, line + 54 + 6 * k, SHORT_TABLES, 3, &value[3 + k]);
    float *coord = (float *)CELL(r, COORD, row);
    for (int k = 0; k < 3; k++) coord[k] = (float)value[k] / 1000.0f;
    *(float *)CELL(r, OCCUPANCY, row) = (float)value[3] / 100.0f;
    *(float *)CELL(r, B_FACTOR, row) = (float)value[4] / 100.0f;
    write_text(CELL(r, NAME, row), line + 12, 4);
    *CELL(r, ALTLOC, row) = line[16] == ' ' ? 0 : line[16];
    int written = (unsigned char)line[76] + 256 * (unsigned char)line[77];
    const char *symbol = (const char *)r->input[ELEMENTS].buf + 2 * written;
    memcpy(CELL(r, ELEMENT, row), symbol, 2);
    r->n_atoms++;
    return is_good && symbol[0] && is_charge(line + 78);
}

static int is_understood(const Reader *r, const char *line) {
    const char *record = r->input[RECORDS].buf, *end = record + r->input[RECORDS].len;
    for (; end - record >= 4; record += 4)
        if (is(line, record)) return 1;
    return 0;
}

/* Tell whether the long name of a component is given, which stands abbreviated in the atom lines. */
static int has_long_name(const char *line, const char *end) {
    for (int k = 70; k < 79 && k < end - line && line[k] != '\n'; k++)
        if (line[k] != ' ' && (line[k] < '\t' || line[k] > '\r')) return 1;
    return 0;
}

static int note_ter(Reader *r) {
    PyObject *n = PyLong_FromSsize_t(r->n_residues);
    int failed = n == NULL || PyList_Append(r->ends, n) < 0;
    Py_XDECREF(n);
    return failed ? -1 : 1;
}

/* Return 1 if every line is regular, 0 if not, -1 after an exception. */
static int read_lines(Reader *r) {
    const char *line = r->input[CONTENT].buf, *end = line + r->input[CONTENT].len, *newline;
    const char *atom = NULL, *known = NULL; /* the last atom line; the last other record */
    int ended = 0, after_atom = 0;
    if (memchr(line, '\r', end - line) || memchr(line, '\0', end - line)) return 0;
    for (; line < end; line = newline + 1) {
        newline = memchr(line, '\n', end - line);
        if (newline == NULL || end - line < 4) return 0;
        int is_atom = is(line, "ATOM") || is(line, "HETA");
        if (is_atom) {
            if (ended || newline - line < WIDTH || !read_atom(r, line, atom)) return 0;
            atom = line;
        } else {
            if (!(known && is(line, known)) && !is_understood(r, line)) return 0;
            known = line;
            if (memcmp(line, "TER", 3) == 0 && note_ter(r) < 0) return -1;
            if (is(line, "ANIS") && !after_atom) return 0;
            if (is(line, "HETN") && has_long_name(line, end)) return 0;
            ended |= memcmp(line, "END", 3) == 0;
        }
        after_atom = is_atom;
    }
    if (atom) *(Py_ssize_t *)CELL(r, FIRST_ATOM, r->n_residues) = r->n_atoms;
    return atom != NULL;
}

static int get_buffers(Reader *r, PyObject *args) {
    PyObject *object[N_INPUTS + 1];
    if (!PyArg_ParseTuple(args, "OOOOO!", object, object + 1, object + 2, object + 3, &PyTuple_Type, object + 4))
        return -1;
    for (int k = 0; k < N_INPUTS; k++)
        if (PyObject_GetBuffer(object[k], &r->input[k], PyBUF_SIMPLE) < 0) return -1;
    Py_ssize_t n_rows = r->input[CONTENT].len / (WIDTH + 1) + 1; /* one more than atoms: where the last residue ends */
    int is_short = r->input[ELEMENTS].len < 2 * 65536 || r->input[NUMBERS].len < 4 * N_TABLES * N_CODES;
    is_short |= PyTuple_Size(object[N_INPUTS]) != N_COLUMNS;
    for (int k = 0; k < N_COLUMNS && !is_short; k++) {
        if (PyObject_GetBuffer(PyTuple_GetItem(object[N_INPUTS], k), &r->column[k], PyBUF_WRITABLE) < 0) return -1;
        is_short = r->column[k].len / BYTES[k] < n_rows;
    }
    if (is_short) PyErr_SetString(PyExc_ValueError, "a column or table is too short");
    return is_short ? -1 : 0;
}

static PyObject *read_regular(PyObject *module, PyObject *args) {
    Reader r = {0};
    PyObject *result = NULL;
    int found = get_buffers(&r, args);
    if (found == 0 && (r.ends = PyList_New(0)) != NULL) {
        found = read_lines(&r);
        if (found > 0) result = Py_BuildValue("nnO", r.n_atoms, r.n_residues, r.ends);
        if (found == 0) result = Py_NewRef(Py_None);
    }
    Py_XDECREF(r.ends);
    for (int k = 0; k < N_INPUTS; k++) PyBuffer_Release(&r.input[k]);
    for (int k = 0; k < N_COLUMNS; k++) PyBuffer_Release(&r.column[k]);
    return result;
}

static PyMethodDef METHODS[] = {
    {"read", read_regular, METH_VARARGS,
     "read(content, elements, numbers, records, columns) -> (n_atoms, n_residues, n_residues_before_ter) or None"},
    {NULL, NULL, 0, NULL},
};

static int add_constants(PyObject *module) { return PyModule_AddIntConstant(module, "INTERFACE", INTERFACE); }

static PyModuleDef_Slot SLOTS[] = {{Py_mod_exec, add_constants}, {0, NULL}};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_regular_pdb", NULL, 0, METHODS, SLOTS, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__regular_pdb(void) { return PyModuleDef_Init(&MODULE); }
