// SPDX-License-Identifier: Apache-2.0
// The handshake rules of AXI4-Lite and AXI4-Stream as assertions (AMBA AXI, IHI 0022, A3.2 and
// B1; AMBA AXI-Stream, IHI 0051, 2.2). A rule that is broken ends the simulation.

// Nothing of a channel changes between valid and ready; valid is low after a reset.
module channel_rules #(
    parameter WIDTH = 1
) (
    input wire clk,
    input wire rst,
    input wire valid,
    input wire ready,
    input wire [WIDTH-1:0] payload,
    output reg [31:0] count
);
    initial count = 0;
    always @(posedge clk) count <= rst ? 0 : count + (valid && ready);

    valid_stays : assert property (@(posedge clk) disable iff (rst) valid && !ready |=> valid);
    payload_stays : assert property (
        @(posedge clk) disable iff (rst) valid && !ready |=> $stable(payload));
    silent_after_reset : assert property (@(posedge clk) rst |=> !valid);
endmodule

module lite_rules (
    input wire clk,
    input wire rst,
    input wire [15:0] awaddr,
    input wire awvalid,
    input wire awready,
    input wire [31:0] wdata,
    input wire [3:0] wstrb,
    input wire wvalid,
    input wire wready,
    input wire [1:0] bresp,
    input wire bvalid,
    input wire bready,
    input wire [15:0] araddr,
    input wire arvalid,
    input wire arready,
    input wire [31:0] rdata,
    input wire [1:0] rresp,
    input wire rvalid,
    input wire rready,
    output wire [31:0] writes,
    output wire [31:0] reads
);
    wire [31:0] addresses, words, asked;
    channel_rules #(16) aw (clk, rst, awvalid, awready, awaddr, addresses);
    channel_rules #(36) w (clk, rst, wvalid, wready, {wstrb, wdata}, words);
    channel_rules #(2) b (clk, rst, bvalid, bready, bresp, writes);
    channel_rules #(16) ar (clk, rst, arvalid, arready, araddr, asked);
    channel_rules #(34) r (clk, rst, rvalid, rready, {rresp, rdata}, reads);

    // The counts are those before this clock: an answer comes later than what it answers.
    write_was_asked : assert property (
        @(posedge clk) disable iff (rst) bvalid |-> addresses > writes && words > writes);
    read_was_asked : assert property (@(posedge clk) disable iff (rst) rvalid |-> asked > reads);
    write_response_known : assert property (
        @(posedge clk) disable iff (rst) bvalid |-> bresp == 0 || bresp == 2);
    read_response_known : assert property (
        @(posedge clk) disable iff (rst) rvalid |-> rresp == 0 || (rresp == 2 && rdata == 0));
endmodule

// Frames of the result stream: their length, and their flags the same on every beat.
module frame_rules #(
    parameter LOGIT_BEATS = 1,
    parameter LIST_BEATS = 0
) (
    input wire clk,
    input wire rst,
    input wire valid,
    input wire ready,
    input wire last,
    input wire [1:0] user
);
    reg [31:0] beat;
    reg first_user;
    initial beat = 0;
    always @(posedge clk)
        if (rst) beat <= 0;
        else if (valid && ready) begin
            beat <= last ? 0 : beat + 1;
            if (beat == 0) first_user <= user[0];
        end

    last_in_place : assert property (
        @(posedge clk) disable iff (rst)
        valid && last && !user[1] |-> beat == LOGIT_BEATS - 1 || beat == LIST_BEATS - 1);
    frame_ends : assert property (
        @(posedge clk) disable iff (rst)
        valid && !last |-> beat < LOGIT_BEATS - 1 || beat + 1 < LIST_BEATS);
    end_is_the_frames : assert property (
        @(posedge clk) disable iff (rst) valid && beat != 0 && !user[1] |-> user[0] == first_user);
    abort_ends : assert property (@(posedge clk) disable iff (rst) valid && user[1] |-> last);
    abort_of_something : assert property (
        @(posedge clk) disable iff (rst) valid && user[1] |-> beat != 0);
endmodule
