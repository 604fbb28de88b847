/*
 * A mix in the proportions of embedded benchmarks: a linked list that is searched, reversed and sorted, small integer
 * matrices, a state machine over text, all chained by a CRC-16 so that nothing can be left out.
 */
#include "linux.h"

struct item {
    struct item *next;
    u16 key, data;
};

enum { ITEMS = 200, CELLS = 12 };

static u16 crc16(u16 crc, u16 value)
{
    for (int i = 0; i < 16; i++, value >>= 1)
        crc = (u16)((crc ^ value) & 1 ? crc >> 1 ^ 0xa001 : crc >> 1);
    return crc;
}

static struct item *reverse(struct item *list)
{
    struct item *done = 0;
    while (list) {
        struct item *next = list->next;
        list->next = done;
        done = list;
        list = next;
    }
    return done;
}

static struct item *merge_sort(struct item *list, int by_key)
{
    if (!list || !list->next)
        return list;
    struct item *slow = list, *fast = list->next;
    while (fast && fast->next)
        slow = slow->next, fast = fast->next->next;
    struct item *second = merge_sort(slow->next, by_key);
    slow->next = 0;
    struct item *first = merge_sort(list, by_key), *merged = 0, **tail = &merged;
    while (first && second) {
        int take_first = by_key ? first->key <= second->key : first->data <= second->data;
        struct item **from = take_first ? &first : &second;
        *tail = *from;
        tail = &(*from)->next;
        *from = *tail;
    }
    *tail = first ? first : second;
    return merged;
}

static u16 list_part(struct item *items, u16 seed)
{
    u64 state = seed + 1ul;
    for (int i = 0; i < ITEMS; i++)
        items[i] = (struct item) { i + 1 < ITEMS ? &items[i + 1] : 0, (u16)i, (u16)next_random(&state) };
    struct item *list = merge_sort(items, 0);
    u16 crc = 0;
    for (u16 wanted = 0; wanted < 24; wanted++) {
        struct item *at = list;
        while (at && at->key != wanted * 7)
            at = at->next;
        crc = crc16(crc, at ? at->data : wanted);
        list = reverse(list);
    }
    list = merge_sort(list, 1);
    return crc16(crc, list->data);
}

static u16 matrix_part(u16 seed)
{
    i64 sum = 0;
    int a[CELLS][CELLS], b[CELLS][CELLS];
    for (int i = 0; i < CELLS; i++)
        for (int j = 0; j < CELLS; j++) {
            a[i][j] = (seed + i * j) & 0xff;
            b[i][j] = (seed ^ (i << 4 | j)) & 0xff;
        }
    for (int i = 0; i < CELLS; i++)
        for (int j = 0; j < CELLS; j++) {
            int cell = 0;
            for (int k = 0; k < CELLS; k++)
                cell += a[i][k] * b[k][j];
            sum += (cell >> 2 & 0xf) * (cell >> 5 & 0x7f);
        }
    return (u16)(sum ^ sum >> 16);
}

/* Counts what kind of number each word of a text is. */
static u16 state_part(const char *text, u16 seed)
{
    enum { START, SIGN, WHOLE, POINT, FRACTION, EXPONENT, INVALID, STATES } state = START;
    u16 counts[STATES] = { 0 };
    for (const char *at = text; *at; at++) {
        char c = (char)(*at ^ (at - text == seed % 64));
        int digit = c >= '0' && c <= '9';
        if (c == ',') {
            counts[state]++;
            state = START;
            continue;
        }
        switch (state) {
        case START: state = digit ? WHOLE : c == '+' || c == '-' ? SIGN : c == '.' ? POINT : INVALID; break;
        case SIGN: state = digit ? WHOLE : c == '.' ? POINT : INVALID; break;
        case WHOLE: state = digit ? WHOLE : c == '.' ? POINT : c == 'e' ? EXPONENT : INVALID; break;
        case POINT: state = digit ? FRACTION : INVALID; break;
        case FRACTION: state = digit ? FRACTION : c == 'e' ? EXPONENT : INVALID; break;
        case EXPONENT: state = digit || c == '-' ? EXPONENT : INVALID; break;
        default: break;
        }
    }
    u16 crc = seed;
    for (int i = 0; i < STATES; i++)
        crc = crc16(crc, counts[i]);
    return crc;
}

u64 run_coremark_like(u64 n)
{
    static struct item items[ITEMS];
    static const char numbers[] = "5012,-874,+122,35.54400,.1234500,-110.700,+0.64400,5.500e3,-.123e-2,87e+832,0.6e-12,T0.3e-1F,-T.T++Tq,1T3.4e4z,34.0e-T^,";
    u16 crc = 0;
    u64 sum = 0;
    while (n--) {
        crc = crc16(crc, list_part(items, crc));
        for (int i = 0; i < 4; i++)
            crc = crc16(crc, matrix_part((u16)(crc + i)));
        for (int i = 0; i < 8; i++)
            crc = crc16(crc, state_part(numbers, (u16)(crc + i)));
        sum = mix(sum, crc);
    }
    return sum;
}
